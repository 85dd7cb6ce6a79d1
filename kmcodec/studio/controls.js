// The settings: a form whose every move is told to the server at once.

// Steps of the slider: each number up to 32, then eight to an octave.
const STEPS = [...new Set([...Array(31).keys()].map((i) => i + 2).concat([...Array(25).keys()].map((i) => Math.round(32 * 2 ** (i / 8)))))];

const CHOICES = [
  { name: "space", legend: "Distances in", options: [["srgb", "sRGB"], ["oklab", "Oklab"]] },
  { name: "init", legend: "Start", options: [["split", "split"], ["kmeans++", "k-means++"], ["random", "random"]] },
  { name: "dither", legend: "Dithering", options: [["none", "none"], ["diffusion", "diffusion"], ["ordered", "ordered"]] },
  { name: "coding", legend: "Coding", options: [["packed", "packed"], ["context", "context"]] },
];

const MORE_CHOICES = [
  { name: "effort", legend: "Effort", options: [["fast", "fast"], ["default", "default"], ["best", "best"]] },
];

// Numbers, and where they mean something.
const NUMBERS = [
  { name: "seed", label: "Seed of the start", min: 0, max: 2 ** 53 - 1, step: 1, isUsed: ({ init }) => init !== "split" },
  { name: "dither_strength", label: "Dithering strength", min: 0, max: 1, step: 0.05, isUsed: ({ dither }) => dither !== "none" },
  { name: "lossy", label: "Lossy: error that a bit is worth", min: 0, max: 1000000, step: "any", isUsed: ({ coding, dither }) => coding === "context" && dither === "none" },
];

const buildChoices = (list) => `
<fieldset class="field" v-for="choice in ${list}" :key="choice.name">
  <legend>{{ choice.legend }}</legend>
  <div class="segments">
    <label v-for="[value, text] in choice.options" :key="value">
      <input type="radio" class="unseen" :name="choice.name" :value="value" v-model="settings[choice.name]" @change="tell"><span>{{ text }}</span>
    </label>
  </div>
</fieldset>`;

// What is chosen lasts as long as the tab.
const KEY = "kmq-settings";

export default {
  props: { start: Object },
  emits: ["settings"],
  template: `
<form class="controls" aria-label="Settings" @submit.prevent>
  <div class="field">
    <label for="k">Colours, K</label>
    <div class="count">
      <input id="k" type="range" min="0" :max="last" v-model.number="place" :aria-valuetext="settings.n_colors + ' colours'" @input="moveSlider">
      <input id="k-number" type="number" min="1" max="65536" required aria-label="Colours, as a number" v-model.number="number" @input="typeNumber" @change="number = settings.n_colors">
    </div>
  </div>
  ${buildChoices("choices")}
  <details class="more">
    <summary>More settings</summary>
    <div class="inner">
      ${buildChoices("moreChoices")}
      <label class="field beside" v-for="each in numbers" :key="each.name"><span>{{ each.label }}</span>
        <input type="number" required :name="each.name" :min="each.min" :max="each.max" :step="each.step" :value="settings[each.name]"
          @input="type(each.name, $event.target)" @change="$event.target.value = settings[each.name]">
      </label>
      <button type="button" @click="reset" :disabled="!isChanged">Reset to defaults</button>
    </div>
  </details>
</form>`,
  data() {
    return { settings: { ...this.start }, number: this.start.n_colors, place: this.findPlace(this.start.n_colors), choices: CHOICES, moreChoices: MORE_CHOICES, last: STEPS.length - 1 };
  },
  computed: {
    numbers() { return NUMBERS.filter(({ isUsed }) => isUsed(this.settings)); },
    isChanged() { return Object.entries(this.start).some(([name, value]) => this.settings[name] !== value); },
  },
  mounted() {
    try {
      const kept = JSON.parse(sessionStorage.getItem(KEY)) ?? {};
      for (const name in this.start) this.settings[name] = kept[name] ?? this.start[name];
    } catch { /* Nothing is kept, or may be. */ }
    if (this.isChanged) this.set(this.settings);
  },
  methods: {
    findPlace: (k) => Math.max(0, STEPS.findLastIndex((step) => step <= k)),
    moveSlider() {
      this.settings.n_colors = this.number = STEPS[this.place];
      this.tell();
    },
    typeNumber() {
      if (!Number.isInteger(this.number) || this.number < 1 || this.number > 65536) return;
      this.settings.n_colors = this.number;
      this.place = this.findPlace(this.number);
      this.tell();
    },
    type(name, { validity, valueAsNumber }) {
      // A step is for the arrows: any strength may be typed.
      if (Number.isNaN(valueAsNumber) || validity.rangeUnderflow || validity.rangeOverflow || (name === "seed" && validity.stepMismatch)) return;
      this.settings[name] = valueAsNumber;
      this.tell();
    },
    reset() {
      this.set({ ...this.start });
      this.$el.querySelector(".more summary").focus();
    },
    set(settings) {
      this.settings = settings;
      this.number = settings.n_colors;
      this.place = this.findPlace(settings.n_colors);
      this.tell();
    },
    tell() {
      try { sessionStorage.setItem(KEY, JSON.stringify(this.settings)); } catch { /* They last as long as the page. */ }
      this.$emit("settings", { ...this.settings });
    },
  },
};
