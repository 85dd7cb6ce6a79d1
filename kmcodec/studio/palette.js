// The palette of the file that is shown, as the browser decoder found it: colours can be locked and changed.

const MOST_LISTED = 256;

const toHex = (bytes) => "#" + [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");

export default {
  emits: ["colors"],
  template: `
<section class="palette" aria-labelledby="palette-title" v-show="total" @keydown.esc="chosen && close()">
  <div class="bar"><h2 id="palette-title">Palette</h2><span class="small">{{ summary }}</span>
    <button type="button" v-if="touched && isEditable" @click="reset">Reset colours</button></div>
  <ul class="swatches" @keydown="press">
    <li v-for="(color, i) in colors" :key="i">
      <button type="button" class="swatch" :class="{ locked: color.isLocked, chosen: chosen?.index === i }"
        :style="{ '--color': color.hex }" :aria-label="describe(color)" :title="describe(color)"
        :aria-expanded="chosen?.index === i" :tabindex="i === current ? 0 : -1" @focus="current = i" @click="choose(color, i)"></button>
    </li>
  </ul>
  <div class="editor" v-if="chosen" role="group" :aria-label="'Colour ' + chosen.hex">
    <span class="swatch large" :style="{ '--color': chosen.hex }" aria-hidden="true"></span>
    <span class="facts"><b class="hex">{{ chosen.hex }}</b><br>{{ chosen.share }} of the pixels</span>
    <label class="check" v-if="isEditable"><input type="checkbox" :checked="isLocked(chosen.hex)" @change="lock($event.target.checked)"> Locked</label>
    <label class="check" v-if="isEditable">Change to <input type="color" :value="chosen.hex.slice(0, 7)" @change="change($event.target.value)"></label>
    <button type="button" v-if="pair" @click="restore">Back to {{ pair[0] }}</button>
    <button type="button" @click="close">Close</button>
  </div>
  <p class="small" v-else>{{ colors.length && isEditable ? "Click a colour to lock it, so that k-means keeps it, or to change it in the file." : "" }}</p>
</section>`,
  // locked: colours to keep; replaced: pairs of what k-means finds and what stands in its place.
  data: () => ({ colors: [], total: 0, chosen: null, current: 0, locked: [], replaced: [], isEditable: true, shown: 0 }),
  computed: {
    summary() {
      if (!this.total) return "";
      const rest = this.total > MOST_LISTED ? `, the ${MOST_LISTED} most used are shown` : "";
      return `${this.total} colour${this.total === 1 ? "" : "s"}${rest}`;
    },
    // Of a colour that was changed, what it was.
    pair() {
      if (!this.chosen) return undefined;
      const pairs = this.replaced.filter(([, now]) => now === this.chosen.hex);
      return pairs.find(([before]) => before === this.chosen.before) ?? pairs[0];
    },
    touched() { return this.locked.length + this.replaced.length > 0; },
  },
  mounted() {
    this.onShown = ({ detail }) => this.receive(detail);
    window.addEventListener("kmq-shown", this.onShown);
  },
  unmounted() { window.removeEventListener("kmq-shown", this.onShown); },
  methods: {
    receive({ stage, hasAlpha, palette, counts }) {
      // Of a file that was opened, nothing is computed anew.
      this.isEditable = stage !== "file";
      const all = counts.reduce((sum, count) => sum + count, 0);
      let order = [...counts.keys()];
      if (order.length > MOST_LISTED) order = order.sort((a, b) => counts[b] - counts[a]).slice(0, MOST_LISTED).sort((a, b) => a - b);
      this.total = counts.length;
      this.colors = order.map((i) => {
        const hex = toHex(palette.subarray(4 * i, 4 * i + (hasAlpha ? 4 : 3)));
        const percent = (100 * counts[i]) / all;
        const share = percent && percent < 0.1 ? "< 0.1 %" : `${percent.toFixed(1)} %`;
        return { hex, share, isLocked: this.isLocked(hex) };
      });
      this.current = Math.min(this.current, Math.max(0, this.colors.length - 1));
      if (!this.chosen) return;
      // Several may have been changed to the same.
      const isChosen = (color) => color?.hex === this.chosen.hex;
      const index = isChosen(this.colors[this.chosen.index]) ? this.chosen.index : this.colors.findIndex(isChosen);
      if (index >= 0) this.chosen = { ...this.colors[index], index, before: this.chosen.before };
      else if (!this.isLocked(this.chosen.hex)) this.close();
    },
    describe: ({ hex, share, isLocked }) => `${hex}, ${share} of the pixels${isLocked ? ", locked" : ""}`,
    isLocked(hex) { return this.locked.includes(hex) || this.replaced.some(([, now]) => now === hex); },
    choose(color, index) { this.chosen = this.chosen?.index === index ? null : { ...color, index }; },
    // What has the focus, and goes, leaves it to a colour.
    close() {
      this.current = Math.min(this.chosen?.index ?? this.current, this.colors.length - 1);
      const hasFocus = this.$el.contains(document.activeElement);
      this.chosen = null;
      if (hasFocus) this.$nextTick(() => this.$el.querySelectorAll(".swatches button")[this.current]?.focus());
    },
    lock(isWanted) {
      const { hex } = this.chosen;
      this.locked = this.locked.filter((color) => color !== hex && color !== this.pair?.[0]);
      this.replaced = this.replaced.filter(([, now]) => now !== hex);
      if (isWanted) this.locked.push(hex);
      this.tell();
    },
    change(hex) {
      const before = this.chosen.hex;
      const after = hex + before.slice(7);
      if (after === before) return;
      const { pair } = this;
      // What is changed twice is still the colour that k-means found.
      this.replaced = this.replaced.filter((other) => other !== pair).concat([[pair ? pair[0] : before, after]]);
      this.chosen = { ...this.chosen, hex: after, before: pair?.[0] ?? before };
      this.tell();
    },
    restore() {
      const { pair } = this;
      this.replaced = this.replaced.filter((other) => other !== pair);
      this.chosen = { ...this.chosen, hex: pair[0] };
      this.tell();
    },
    // Another picture has other colours; what is told of them says by its number of which picture they are.
    forget(shown) {
      this.shown = shown;
      this.locked = [];
      this.replaced = [];
      this.chosen = null;
    },
    reset() {
      this.locked = [];
      this.replaced = [];
      this.close();
      this.tell();
    },
    // Of all the swatches, one is reached by Tab; arrows lead to the others.
    press(event) {
      const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
      const place = event.key === "Home" ? 0 : event.key === "End" ? this.colors.length - 1 : step && this.current + step;
      if (place === undefined || !this.colors[place]) return;
      event.preventDefault();
      this.$el.querySelectorAll(".swatches button")[place].focus();
    },
    tell() {
      this.colors = this.colors.map((color) => ({ ...color, isLocked: this.isLocked(color.hex) }));
      this.$emit("colors", { shown: this.shown, locked: [...this.locked], replaced: this.replaced.map((pair) => [...pair]) });
    },
  },
};
