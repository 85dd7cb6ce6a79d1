// The settings: a form whose every move is told to the server at once.

// Steps of the slider: each number up to 32, then eight to an octave.
const STEPS = [...new Set([...Array(31).keys()].map((i) => i + 2).concat([...Array(25).keys()].map((i) => Math.round(32 * 2 ** (i / 8)))))];

const CHOICES = [
  { name: "space", legend: "Distances in", options: [["srgb", "sRGB"], ["oklab", "Oklab"]] },
  { name: "init", legend: "Start", options: [["split", "split"], ["kmeans++", "k-means++"], ["random", "random"]] },
  { name: "dither", legend: "Dithering", options: [["none", "none"], ["diffusion", "diffusion"], ["ordered", "ordered"]] },
  { name: "coding", legend: "Coding", options: [["packed", "packed"], ["context", "context"]] },
];

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
  <fieldset class="field" v-for="choice in choices" :key="choice.name">
    <legend>{{ choice.legend }}</legend>
    <div class="segments">
      <label v-for="[value, text] in choice.options" :key="value">
        <input type="radio" class="unseen" :name="choice.name" :value="value" v-model="settings[choice.name]" @change="tell"><span>{{ text }}</span>
      </label>
    </div>
  </fieldset>
</form>`,
  data() {
    return { settings: { ...this.start }, number: this.start.n_colors, place: this.findPlace(this.start.n_colors), choices: CHOICES, last: STEPS.length - 1 };
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
    tell() {
      this.$emit("settings", { ...this.settings });
    },
  },
};
