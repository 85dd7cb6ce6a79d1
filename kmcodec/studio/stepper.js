// The iterations of k-means, to go through one by one.

export default {
  emits: ["step"],
  template: `
<div class="stepper">
  <label class="field" for="iteration">{{ text }}</label>
  <div class="count">
    <button type="button" @click="go(-1)" :disabled="place <= 0" aria-label="Previous iteration">‹</button>
    <input id="iteration" type="range" min="0" :max="errors.length" v-model.number="place" :disabled="!errors.length" :aria-valuetext="text" @input="tell">
    <button type="button" @click="go(1)" :disabled="place >= errors.length" aria-label="Next iteration">›</button>
  </div>
</div>`,
  // Of each iteration, the squared error; behind the last one is the result.
  data: () => ({ errors: [], place: 0 }),
  computed: {
    text() {
      if (!this.errors.length) return "There is nothing to iterate.";
      if (this.place === this.errors.length) return `The result, after ${this.errors.length} iterations`;
      return `Iteration ${this.place} of ${this.errors.length}: squared error ${this.errors[this.place].toPrecision(4)} a pixel`;
    },
  },
  methods: {
    load(errors) {
      this.errors = errors;
      // The range has its new end first.
      this.$nextTick(() => (this.place = errors.length));
    },
    go(step) {
      this.place += step;
      this.tell();
    },
    tell() { this.$emit("step", this.place); },
  },
};
