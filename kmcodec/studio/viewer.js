// Original and result under a slider. Draws the pixels of .kmq files as the browser decoder gives them.

// Device pixels for one pixel of the picture: whole numbers or their inverses, so that all pixels are equal.
const ZOOMS = [1/64, 1/48, 1/32, 1/24, 1/16, 1/12, 1/8, 1/6, 1/4, 1/3, 1/2, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];
const PAN_STEP = 48;

const clamp = (value, low, high) => Math.min(Math.max(value, low), Math.max(low, high));

export default {
  props: { base: String, accept: String, mostBytes: Number },
  template: `
<section class="viewer" aria-label="Picture" :data-stage="stage" :data-version="shownVersion"
  @dragenter.prevent="isOver = true" @dragover.prevent="isOver = true" @dragleave="isOver = $el.contains($event.relatedTarget)"
  @drop.prevent="drop">
  <div class="bar">
    <label class="button primary choose">Open picture
      <input type="file" class="unseen" :accept="accept" @change="choose" ref="input">
    </label>
    <span class="name" :title="name">{{ name || "or drop one here" }}</span>
    <span class="group" role="group" aria-label="Zoom" v-show="width">
      <output class="zoom" aria-live="off">{{ zoomText }}</output>
      <button type="button" @click="step(-1)" aria-label="Zoom out" title="Zoom out (−)">−</button>
      <button type="button" @click="step(1)" aria-label="Zoom in" title="Zoom in (+)">+</button>
      <button type="button" @click="fit" title="Whole picture (0)">Fit</button>
      <button type="button" @click="zoomTo(1)" aria-label="One to one" title="A pixel for each of the screen (1)">1:1</button>
    </span>
  </div>
  <div class="message" role="alert" v-if="message"><span>{{ message }}</span>
    <button type="button" @click="message = ''" aria-label="Dismiss the message">×</button></div>
  <div class="frame" ref="frame" :style="{ '--aspect': width / height || 1 }" :class="{ enlarged: zoom >= 1, movable, moving: !!drag, over: isOver, empty: !width }"
    tabindex="0" role="group" aria-label="Original and result" aria-describedby="viewer-help"
    @keydown="press" @wheel="wheel" @pointerdown="grab" @pointermove="move" @pointerup="release" @pointercancel="release">
    <div class="pane" :style="originalClip" v-show="hasOriginal"><canvas ref="original" role="img" aria-label="Original" :style="place"></canvas></div>
    <div class="pane" :style="resultClip"><canvas ref="result" role="img" aria-label="Result" :style="place"></canvas></div>
    <template v-if="width && hasOriginal">
      <span class="tag left" aria-hidden="true">original</span>
      <span class="tag right" aria-hidden="true">{{ caption }}</span>
      <div class="divider" :style="{ left: split / 10 + '%' }" aria-hidden="true" @pointerdown.stop="grabDivider"></div>
    </template>
    <span class="tag right" v-else-if="width" aria-hidden="true">{{ caption }}</span>
    <p class="invitation" v-if="!width">{{ isBusy ? "Reading …" : "Drop a picture or a .kmq file here" }}</p>
  </div>
  <input v-show="width && hasOriginal" type="range" class="split" min="0" max="1000" v-model.number="split" aria-label="Part that shows the original">
  <p class="small" id="viewer-help" v-show="width">Zoom with the wheel, + and −; drag or use the arrow keys to move the picture.</p>
</section>`,

  data: () => ({
    name: "", width: 0, height: 0, hasOriginal: false, caption: "", message: "", isBusy: false, isOver: false,
    zoom: 1, x: 0, y: 0, isFitted: true, frameWidth: 0, frameHeight: 0, ratio: 1, split: 500, drag: null,
    stage: "", shownVersion: 0,
  }),

  computed: {
    scale() { return this.zoom / this.ratio; },
    movable() { return this.width * this.scale > this.frameWidth + 1 || this.height * this.scale > this.frameHeight + 1; },
    zoomText() { return `${Math.round(this.zoom * 1000) / 10} %`.replace(/\.0 %/, " %"); },
    originalClip() { return { clipPath: `inset(0 ${100 - this.split / 10}% 0 0)` }; },
    resultClip() { return this.hasOriginal ? { clipPath: `inset(0 0 0 ${this.split / 10}%)` } : {}; },
    place() {
      const width = this.width * this.scale, height = this.height * this.scale;
      const center = (offset, size, frame) =>
        size <= frame ? (frame - size) / 2 : clamp(frame / 2 - offset * this.scale, frame - size, 0);
      // On whole device pixels, so that squares stay square.
      const snap = (value) => Math.round(value * this.ratio) / this.ratio;
      const left = snap(center(this.x, width, this.frameWidth)), top = snap(center(this.y, height, this.frameHeight));
      return { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` };
    },
  },

  mounted() {
    this.newest = 0;
    // What the server has said of the results that are on their way.
    this.asked = new Map();
    this.observer = new ResizeObserver(() => this.measure());
    this.observer.observe(this.$refs.frame);
    this.onDropAnywhere = (event) => { event.preventDefault(); if (event.type === "drop" && !event.defaultHandled) this.drop(event); };
    window.addEventListener("dragover", this.onDropAnywhere);
    window.addEventListener("drop", this.onDropAnywhere);
    this.onPaste = (event) => { const file = event.clipboardData?.files[0]; if (file) this.send(file); };
    window.addEventListener("paste", this.onPaste);
    this.quick = this.hire();
    this.measure();
  },

  unmounted() {
    this.observer.disconnect();
    this.quick.terminate();
    this.slow?.terminate();
    for (const type of ["dragover", "drop"]) window.removeEventListener(type, this.onDropAnywhere);
    window.removeEventListener("paste", this.onPaste);
  },

  methods: {
    // --- What the server calls.

    // Show an original, whose pixels are fetched as they are; with no width, wait for a .kmq file instead.
    async load(name, width, height, channels, title) {
      this.name = title;
      this.message = "";
      this.isBusy = false;
      this.hasOriginal = width > 0;
      this.stage = "";
      const load = (this.loading = {});
      if (!width) return;
      const response = await fetch(`${this.base}/original`);
      if (!response.ok || load !== this.loading) return;
      const bytes = new Uint8Array(await response.arrayBuffer());
      const pixels = new Uint8ClampedArray(4 * width * height);
      const words = new Uint32Array(pixels.buffer);
      if (channels === 4) pixels.set(bytes);
      else for (let i = 0, j = 0; i < words.length; i++, j += 3)
        words[i] = 0xff000000 | (bytes[j + 2] << 16) | (bytes[j + 1] << 8) | bytes[j];
      if (load !== this.loading) return;
      this.resize(width, height);
      this.draw(this.$refs.original, pixels, width, height);
    },

    // Fetch, decode and draw a result.
    show(version, stage, caption, isSlow) {
      this.newest = version;
      this.asked.set(version, { stage, caption });
      this.slow?.terminate();
      this.slow = null;
      const url = `${this.base}/results/${version}`;
      if (isSlow) {
        // In a worker that can be got rid of, since a decoder that has begun cannot be stopped.
        this.slow = this.hire();
        this.slow.postMessage({ version, url });
      } else if (this.isDecoding) {
        this.next = { version, url };
      } else {
        this.isDecoding = true;
        this.quick.postMessage({ version, url });
      }
    },

    tell(message) {
      this.message = message;
      this.isBusy = false;
    },

    // --- Files.

    choose(event) {
      const [file] = event.target.files;
      if (file) this.send(file);
      event.target.value = "";
    },

    drop(event) {
      event.defaultHandled = true;
      this.isOver = false;
      const [file] = event.dataTransfer.files;
      if (file) this.send(file);
    },

    async send(file) {
      this.message = "";
      if (file.size > this.mostBytes) {
        this.message = `${file.name}: ${(file.size / 2 ** 20).toFixed(1)} MiB, more than the ${this.mostBytes / 2 ** 20} MiB that can be opened here.`;
        return;
      }
      this.isBusy = true;
      try {
        const response = await fetch(`${this.base}/file?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file });
        const answer = await response.text();
        if (!response.ok) this.message = `${file.name}: ${answer}`;
      } catch {
        this.message = "kmq studio does not answer. Is it still running?";
      }
      this.isBusy = false;
    },

    // --- Drawing.

    hire() {
      const worker = new Worker(`${this.base}/../../files/decoder.js`, { type: "module" });
      worker.onmessage = ({ data }) => {
        if (worker === this.quick) {
          this.isDecoding = !!this.next;
          if (this.next) worker.postMessage(this.next);
          this.next = null;
        }
        // What has been overtaken is shown all the same, so that something moves; but never after what is newer.
        if (!this.asked.has(data.version)) return;
        if (data.error) {
          if (data.version === this.newest) this.tell(data.error);
          return;
        }
        this.receive(data);
      };
      return worker;
    },

    receive({ version, width, height, hasAlpha, palette, counts, rgba }) {
      const { stage, caption } = this.asked.get(version);
      for (const older of [...this.asked.keys()].filter((asked) => asked <= version)) this.asked.delete(older);
      Object.assign(this, { shownVersion: version, stage, caption });
      if (!this.hasOriginal) this.resize(width, height);
      this.draw(this.$refs.result, rgba, width, height);
      window.dispatchEvent(new CustomEvent("kmq-shown", { detail: { version, stage, hasAlpha, palette, counts } }));
    },

    draw(canvas, pixels, width, height) {
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
      canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
    },

    // --- Size and place.

    resize(width, height) {
      if (width === this.width && height === this.height) return;
      this.width = width;
      this.height = height;
      this.$nextTick(() => this.fit());
    },

    measure() {
      const { clientWidth, clientHeight } = this.$refs.frame;
      this.ratio = window.devicePixelRatio || 1;
      this.frameWidth = clientWidth;
      this.frameHeight = clientHeight;
      if (this.isFitted) this.fit();
    },

    fit() {
      if (!this.width) return;
      const most = Math.min(this.frameWidth / this.width, this.frameHeight / this.height) * this.ratio;
      // A photograph fills the frame; small pictures are enlarged by whole steps only.
      this.zoom = most < 1 ? most : ZOOMS.filter((zoom) => zoom <= most).pop();
      this.x = this.width / 2;
      this.y = this.height / 2;
      this.isFitted = true;
    },

    step(direction, at) {
      const zooms = direction > 0 ? ZOOMS.filter((zoom) => zoom > this.zoom * 1.001) : ZOOMS.filter((zoom) => zoom < this.zoom * 0.999);
      const zoom = direction > 0 ? zooms[0] : zooms.pop();
      if (zoom) this.zoomTo(zoom, at);
    },

    // Keep what is at a place of the frame, from its centre, where it is.
    zoomTo(zoom, [dx, dy] = [0, 0]) {
      const before = this.scale;
      this.zoom = zoom;
      this.isFitted = false;
      this.panTo(this.x + dx / before - dx / this.scale, this.y + dy / before - dy / this.scale);
    },

    panTo(x, y) {
      const limit = (value, size, frame) => {
        const half = frame / 2 / this.scale;
        return size <= 2 * half ? size / 2 : clamp(value, half, size - half);
      };
      this.x = limit(x, this.width, this.frameWidth);
      this.y = limit(y, this.height, this.frameHeight);
    },

    press(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || !this.width) return;
      const step = PAN_STEP / this.scale;
      const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
      const actions = { "+": () => this.step(1), "=": () => this.step(1), "-": () => this.step(-1), 0: () => this.fit(), 1: () => this.zoomTo(1) };
      const act = moves[event.key] && this.movable ? () => this.panTo(this.x + moves[event.key][0], this.y + moves[event.key][1]) : actions[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    },

    wheel(event) {
      // Where the picture is as wide as the page, the wheel scrolls that.
      const isAside = window.matchMedia("(min-width: 64rem)").matches;
      if (!this.width || !(isAside || event.ctrlKey)) return;
      event.preventDefault();
      this.turned = (this.turned ?? 0) + event.deltaY;
      if (Math.abs(this.turned) < 30) return;
      const { left, top } = this.$refs.frame.getBoundingClientRect();
      this.step(-Math.sign(this.turned), [event.clientX - left - this.frameWidth / 2, event.clientY - top - this.frameHeight / 2]);
      this.turned = 0;
    },

    grab(event) {
      if (event.button || !this.width) return;
      this.pointers ??= new Map();
      this.pointers.set(event.pointerId, event);
      if (this.pointers.size === 1 && this.movable) {
        this.drag = { clientX: event.clientX, clientY: event.clientY, x: this.x, y: this.y };
        this.$refs.frame.setPointerCapture(event.pointerId);
      }
    },

    grabDivider(event) {
      this.drag = { isDivider: true };
      this.$refs.frame.setPointerCapture(event.pointerId);
    },

    move(event) {
      if (this.drag?.isDivider) {
        const { left, width } = this.$refs.frame.getBoundingClientRect();
        this.split = Math.round(1000 * clamp((event.clientX - left) / width, 0, 1));
        return;
      }
      if (!this.pointers?.has(event.pointerId)) return;
      const spread = () => { const [a, b] = [...this.pointers.values()]; return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY); };
      if (this.pointers.size === 2) {
        const before = spread();
        this.pointers.set(event.pointerId, event);
        this.zoomTo(clamp(this.zoom * spread() / before, ZOOMS[0], ZOOMS.at(-1)));
      } else if (this.drag) {
        this.panTo(this.drag.x - (event.clientX - this.drag.clientX) / this.scale, this.drag.y - (event.clientY - this.drag.clientY) / this.scale);
      }
    },

    release(event) {
      this.pointers?.delete(event.pointerId);
      this.drag = null;
    },
  },
};
