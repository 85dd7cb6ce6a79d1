// Original and result under a slider. Draws the pixels of .kmq files as the browser decoder gives them.

// Device pixels for one pixel of the picture: whole numbers or their inverses, so that all pixels are equal.
const ZOOMS = [1/64, 1/48, 1/32, 1/24, 1/16, 1/12, 1/8, 1/6, 1/4, 1/3, 1/2, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];
const PAN_STEP = 48;

const clamp = (value, low, high) => Math.min(Math.max(value, low), Math.max(low, high));

const NO_ANSWER = "kmq studio does not answer. Is it still running?";

const isEditable = (target) => !!target?.closest?.("input, textarea");

// Where fingers are in the middle, and how far from there.
const span = (places) => {
  const [x, y] = [0, 1].map((axis) => places.reduce((sum, place) => sum + place[axis], 0) / places.length);
  return { x, y, width: places.reduce((sum, place) => sum + Math.hypot(place[0] - x, place[1] - y), 0) };
};

export default {
  props: { base: String, accept: String, mostBytes: Number },
  template: `
<section class="viewer" aria-label="Picture" :data-stage="stage" :data-version="shownVersion">
  <div class="bar">
    <label class="button primary choose">Open picture
      <input type="file" class="unseen" :accept="accept" @change="choose" ref="input">
    </label>
    <p class="name" :title="name"><span>{{ name }}</span><span class="small">{{ facts }}</span></p>
    <span class="group" role="group" aria-label="Zoom" v-show="width">
      <output class="zoom" aria-live="off">{{ zoomText }}</output>
      <button type="button" @click="step(-1)" aria-label="Zoom out" title="Zoom out (−)">−</button>
      <button type="button" @click="step(1)" aria-label="Zoom in" title="Zoom in (+)">+</button>
      <button type="button" @click="fit" title="Whole picture (0)">Fit</button>
      <button type="button" @click="zoomTo(1)" title="A pixel for each of the screen (1)">1:1</button>
    </span>
  </div>
  <div class="message" role="alert" v-if="message"><span>{{ message }}</span>
    <button type="button" @click="dismiss" aria-label="Dismiss the message">×</button></div>
  <div class="frame" ref="frame" :style="{ '--aspect': width / height || 1 }" :class="{ enlarged: zoom >= 1, movable, moving: isMoving, over: isOver, empty: !width }"
    :tabindex="width ? 0 : -1" role="group" aria-label="Original and result" aria-describedby="viewer-help"
    @keydown="press" @wheel="wheel" @click="width || $refs.input.click()" @dblclick="magnify"
    @pointerdown="grab" @pointermove="move" @pointerup="release" @pointercancel="release">
    <div class="pane" :style="originalClip" v-show="hasOriginal"><canvas ref="original" role="img" aria-label="Original" :style="place"></canvas></div>
    <div class="pane" :style="resultClip"><canvas ref="result" role="img" aria-label="Result" :style="place"></canvas></div>
    <template v-if="width && hasOriginal">
      <div class="divider" :style="{ left: split / 10 + '%' }" role="slider" tabindex="0" aria-label="Part that shows the original"
        aria-valuemin="0" aria-valuemax="100" :aria-valuenow="Math.round(split / 10)" :aria-valuetext="Math.round(split / 10) + ' %'"
        @keydown="pressDivider" @pointerdown="grabDivider"></div>
      <button type="button" class="tag left" :aria-pressed="split === 1000" @click="showAll(1000)" title="All of the original, or half">original</button>
      <button type="button" class="tag right" :aria-pressed="split === 0" @click="showAll(0)" title="All of the result, or half">{{ caption }}</button>
    </template>
    <span class="tag right" v-else-if="width">{{ caption }}</span>
    <p class="invitation" v-if="!width && !isBusy"><span>Drop a picture or a .kmq file here</span><span class="small">or click, or paste one from the clipboard</span></p>
    <p class="activity" role="status"><span v-if="isBusy">Reading {{ reading }} …</span><span v-else-if="isWorking" aria-hidden="true">Working …</span></p>
  </div>
  <p class="small" id="viewer-help" v-show="width">Zoom with the wheel, two fingers, + and −; move the picture by dragging it, or with the arrow keys.</p>
</section>`,

  data: () => ({
    name: "", facts: "", width: 0, height: 0, hasOriginal: false, caption: "", message: "", reading: "",
    isBusy: false, isWorking: false, isOver: false, isMoving: false,
    zoom: 1, x: 0, y: 0, isFitted: true, frameWidth: 0, frameHeight: 0, ratio: 1, split: 500, stage: "", shownVersion: 0,
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
    // Where the fingers are that hold the picture, by their numbers; and the one that holds the divider.
    this.fingers = new Map();
    this.divider = null;
    this.observer = new ResizeObserver(() => this.measure());
    this.observer.observe(this.$refs.frame);
    this.left = new AbortController();
    const { signal } = this.left;
    // Files may be dropped anywhere, texts only where they can be typed.
    for (const type of ["dragenter", "dragover"])
      window.addEventListener(type, (event) => {
        this.isOver = event.dataTransfer.types.includes("Files");
        if (this.isOver || !isEditable(event.target)) event.preventDefault();
      }, { signal });
    window.addEventListener("dragleave", (event) => { this.isOver &&= !!event.relatedTarget; }, { signal });
    window.addEventListener("drop", (event) => this.drop(event), { signal });
    window.addEventListener("paste", (event) => { const file = event.clipboardData?.files[0]; if (file) this.send(file); }, { signal });
    // Two fingers zoom, also where one would scroll the page.
    this.$refs.frame.addEventListener("touchmove", (event) => { if (event.touches.length > 1) event.preventDefault(); }, { signal, passive: false });
    this.watchRatio();
    this.quick = this.hire();
    this.measure();
    // NiceGUI shows this while the connection is lost, in words that do not say with what.
    const popup = document.querySelector("#popup");
    popup?.setAttribute("role", "alert");
    popup?.firstElementChild.replaceChildren(NO_ANSWER);
  },

  unmounted() {
    this.observer.disconnect();
    this.quick.terminate();
    this.slow?.terminate();
    this.left.abort();
  },

  methods: {
    // --- What the server calls.

    // Show an original, whose pixels are fetched as they are; with no width, wait for a .kmq file instead.
    async load(name, facts, width, height, channels) {
      Object.assign(this, { name, facts, message: "", isBusy: false, isWorking: true });
      document.title = `${name} – kmq studio`;
      this.hasOriginal = width > 0;
      this.stage = "";
      // Results of what was shown before come too late.
      this.asked.clear();
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
      this.isWorking = true;
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

    // Without a picture, settings are only kept for one.
    work() { this.isWorking = this.width > 0; },

    tell(message) { Object.assign(this, { message, isBusy: false, isWorking: false }); },

    // --- Files.

    choose(event) {
      const [file] = event.target.files;
      if (file) this.send(file);
      event.target.value = "";
    },

    drop(event) {
      this.isOver = false;
      const { files, items, types } = event.dataTransfer;
      if (!types.includes("Files") && isEditable(event.target)) return;
      event.preventDefault();
      const folder = [...items].map((item) => item.webkitGetAsEntry?.()).find((entry) => entry?.isDirectory);
      if (folder) this.message = `${folder.name} is a folder. Drop one of the pictures in it.`;
      else if (files.length > 1) this.message = `${files.length} files were dropped: here it is one at a time. For many at once there is kmq encode.`;
      else if (files.length) this.send(files[0]);
      else this.message = "What was dropped is no file. A picture of a web page can be copied there and pasted here.";
    },

    dismiss() {
      this.message = "";
      this.$refs.input.focus();
    },

    async send(file) {
      this.message = "";
      if (file.size > this.mostBytes) {
        this.message = `${file.name}: ${(file.size / 2 ** 20).toFixed(1)} MiB, more than the ${this.mostBytes / 2 ** 20} MiB that can be opened here.`;
        return;
      }
      const sending = (this.sending = {});
      Object.assign(this, { isBusy: true, reading: file.name });
      let message;
      const body = await file.arrayBuffer().catch(() => { message = `${file.name}: it cannot be read.`; });
      if (body)
        try {
          const response = await fetch(`${this.base}/file?name=${encodeURIComponent(file.name)}`, { method: "POST", body });
          const answer = await response.text();
          if (!response.ok) message = `${file.name}: ${answer}`;
        } catch {
          message = NO_ANSWER;
        }
      // Of files that are sent one after the other, the last counts.
      if (sending !== this.sending) return;
      this.isBusy = false;
      if (message) this.message = message;
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
      if (version === this.newest) this.isWorking = stage === "preview" || stage === "coding";
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
      const { clientWidth, clientHeight, offsetTop, offsetHeight } = this.$refs.frame;
      // What stays in sight of the picture, on a phone, is the frame; and what has the focus is not below it.
      document.documentElement.style.setProperty("--above", `${offsetTop}px`);
      document.documentElement.style.setProperty("--frame", `${offsetHeight}px`);
      this.ratio = window.devicePixelRatio || 1;
      this.frameWidth = clientWidth;
      this.frameHeight = clientHeight;
      if (this.isFitted) this.fit();
    },

    // A window that is moved to another screen may keep its size.
    watchRatio() {
      const screen = window.matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`);
      screen.addEventListener("change", () => { this.measure(); this.watchRatio(); }, { once: true, signal: this.left.signal });
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
      this.step(-Math.sign(this.turned), this.find(event.clientX, event.clientY));
      this.turned = 0;
    },

    // Return a place of the window as one of the frame, from its centre.
    find(clientX, clientY) {
      const { left, top } = this.$refs.frame.getBoundingClientRect();
      return [clientX - left - this.frameWidth / 2, clientY - top - this.frameHeight / 2];
    },

    // A double click goes in to where it is, and back.
    magnify(event) {
      if (!this.width || event.target.closest("button, .divider")) return;
      if (this.isFitted) this.zoomTo(ZOOMS.find((zoom) => zoom >= 2 * this.zoom) ?? ZOOMS.at(-1), this.find(event.clientX, event.clientY));
      else this.fit();
    },

    showAll(split) { this.split = this.split === split ? 500 : split; },

    pressDivider(event) {
      const steps = { ArrowLeft: -20, ArrowDown: -20, ArrowRight: 20, ArrowUp: 20, PageDown: -100, PageUp: 100, Home: -1000, End: 1000 };
      if (!steps[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      this.split = clamp(this.split + steps[event.key], 0, 1000);
    },

    // --- Fingers, pens and mice: one moves the picture or the divider, more move and zoom the picture.

    grab(event) {
      if (event.button || !this.width || event.target.closest("button")) return;
      if (this.divider) {
        this.fingers.set(this.divider.id, this.divider.place);
        this.divider = null;
      }
      this.hold(event);
      this.fingers.set(event.pointerId, [event.clientX, event.clientY]);
      this.isMoving = this.movable;
    },

    grabDivider(event) {
      if (event.button || this.fingers.size) return;
      event.stopPropagation();
      this.hold(event);
      const { left, width } = this.$refs.frame.getBoundingClientRect();
      this.divider = { id: event.pointerId, place: [event.clientX, event.clientY], off: event.clientX - left - (this.split / 1000) * width };
    },

    hold(event) { this.$refs.frame.setPointerCapture(event.pointerId); },

    move(event) {
      const place = [event.clientX, event.clientY];
      if (this.divider?.id === event.pointerId) {
        const { left, width } = this.$refs.frame.getBoundingClientRect();
        this.divider.place = place;
        this.split = Math.round(1000 * clamp((event.clientX - this.divider.off - left) / width, 0, 1));
      }
      if (!this.fingers.has(event.pointerId)) return;
      const before = span([...this.fingers.values()]);
      this.fingers.set(event.pointerId, place);
      const after = span([...this.fingers.values()]);
      this.panTo(this.x - (after.x - before.x) / this.scale, this.y - (after.y - before.y) / this.scale);
      if (this.fingers.size > 1 && before.width)
        this.zoomTo(clamp((this.zoom * after.width) / before.width, ZOOMS[0], ZOOMS.at(-1)), this.find(after.x, after.y));
    },

    release(event) {
      this.fingers.delete(event.pointerId);
      if (this.divider?.id === event.pointerId) this.divider = null;
      this.isMoving = this.fingers.size > 0 && this.movable;
    },
  },
};
