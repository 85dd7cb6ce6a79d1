/**
 * `<kmq-image src="picture.kmq" alt="...">`: a .kmq file on a page, laid out like an `<img>`.
 *
 * Attributes: `src`, `alt`, `width`, `height`, `loading="lazy"`, `rendering="smooth"` (enlarge smoothly instead of in
 * squares) and `snap` (show every pixel as a square of whole device pixels, in the middle of the box). Events: `load`,
 * `error`. The shadow parts `image` and `canvas` can be styled.
 */

import { decodeAsync, DEFAULT_MAX_PIXELS, LimitError, readHeader } from "./kmq.js";

// Of a canvas: longer ones are not drawn by all browsers.
const LARGEST_SIDE = 32767;
const LAZY_MARGIN = "256px";
const HEADER_BYTES = 32;

// The host has no content of a size of its own: it takes that of the picture as its intrinsic size, and so behaves like
// an <img> under whatever the page says of its width and height.
const STYLE = `
  :host { display: inline-block; width: fit-content; contain: size layout; vertical-align: baseline; overflow: hidden; }
  :host([hidden]) { display: none; }
  #image, canvas { object-fit: inherit; object-position: inherit; }
  #image { display: block; position: relative; width: 100%; height: 100%; }
  canvas { position: absolute; inset: 0; width: 100%; height: 100%; }
  #image.failed canvas { display: none; }
`;
// Alternative text takes the space that text takes.
const FAILED_STYLE = ":host { contain: none; aspect-ratio: auto; overflow: visible; }";

/**
 * Return a length of CSS for an attribute as <img> has it: "200" or "50%".
 *
 * @param {string | null} value
 */
function readLength(value) {
  const match = /^\s*(\d+(?:\.\d+)?)(%?)/.exec(value ?? "");
  if (match === null) {
    return undefined;
  }
  const [, number, unit] = match;
  return { number: Number(number), unit, css: `${number}${unit || "px"}` };
}

// Where there are no pages, as in Node, the module can be imported but has no element.
const Base = globalThis.HTMLElement ?? /** @type {typeof HTMLElement} */ (class {});

/** @type {typeof import("./kmq-image.js").KmqImage} */
export const KmqImage = class KmqImage extends Base {
  static observedAttributes = ["src", "alt", "width", "height", "loading", "rendering", "snap"];

  #root;
  #image;
  #canvas;
  #text;
  /** @type {CSSStyleSheet | undefined} */
  #layout;
  /** @type {AbortController | undefined} */
  #loading;
  /** @type {IntersectionObserver | undefined} */
  #visibility;
  /** @type {ResizeObserver | undefined} */
  #size;
  #natural = { width: 0, height: 0 };
  #state = /** @type {"empty" | "waiting" | "loading" | "loaded" | "failed"} */ ("empty");
  #currentSrc = "";
  /** @type {unknown} */
  #error;
  /**
   * Of the present source: shown, not to be shown, or replaced.
   *
   * @type {{promise: Promise<void>, resolve: () => void, reject: (reason: unknown) => void}}
   */
  #outcome = makeOutcome();
  #isQueued = false;
  #isWanted = false;
  #isDrawn = false;

  constructor() {
    super();
    this.#root = this.attachShadow({ mode: "open" });
    this.#image = document.createElement("span");
    this.#image.id = "image";
    this.#image.setAttribute("part", "image");
    this.#canvas = document.createElement("canvas");
    this.#canvas.setAttribute("part", "canvas");
    this.#canvas.width = this.#canvas.height = 0;
    this.#text = document.createElement("span");
    this.#image.append(this.#canvas, this.#text);
    this.#root.append(this.#image);
    this.#describe();
    this.adoptedCallback();
  }

  /** Make style sheets, which belong to a document: an element that goes to another one, as of a frame, loses them. */
  adoptedCallback() {
    const page = this.ownerDocument.defaultView;
    if (page !== null) {
      const shared = new page.CSSStyleSheet();
      shared.replaceSync(STYLE);
      this.#layout = new page.CSSStyleSheet();
      this.#root.adoptedStyleSheets = [shared, this.#layout];
      this.#layOut();
    }
  }

  connectedCallback() {
    this.#takeProperties();
    this.#size = new ResizeObserver(() => this.#fit());
    try {
      // Which changes with the zoom of the page, too.
      this.#size.observe(this, { box: "device-pixel-content-box" });
    } catch {
      this.#size.observe(this);
    }
    if (this.#state === "waiting") {
      this.#watch();
    }
  }

  /** Take what a program has set before the element was defined: plain properties would hide the real ones. */
  #takeProperties() {
    for (const name of /** @type {const} */ (["src", "alt", "loading", "width", "height"])) {
      const given = Object.getOwnPropertyDescriptor(this, name);
      if (given !== undefined) {
        delete (/** @type {any} */ (this)[name]);
        Object.assign(this, { [name]: given.value });
      }
    }
  }

  disconnectedCallback() {
    this.#size?.disconnect();
    this.#visibility?.disconnect();
  }

  /**
   * @param {string} name
   * @param {string | null} before
   * @param {string | null} value
   */
  attributeChangedCallback(name, before, value) {
    if (name === "src") {
      this.#queue();
    } else if (name === "alt") {
      this.#describe();
    } else if (name === "loading") {
      if (this.#state === "waiting" && value !== "lazy") {
        this.#load();
      }
    } else if (before !== value) {
      this.#layOut();
      this.#fit();
    }
  }

  get src() {
    const value = this.getAttribute("src");
    return value === null ? "" : this.#resolve(value);
  }

  set src(value) {
    this.setAttribute("src", value);
  }

  get alt() {
    return this.getAttribute("alt") ?? "";
  }

  set alt(value) {
    this.setAttribute("alt", value);
  }

  get loading() {
    return this.getAttribute("loading") === "lazy" ? "lazy" : "eager";
  }

  set loading(value) {
    this.setAttribute("loading", value);
  }

  get width() {
    return this.isConnected ? Math.round(this.getBoundingClientRect().width) : this.#natural.width;
  }

  set width(value) {
    this.setAttribute("width", String(value));
  }

  get height() {
    return this.isConnected ? Math.round(this.getBoundingClientRect().height) : this.#natural.height;
  }

  set height(value) {
    this.setAttribute("height", String(value));
  }

  get naturalWidth() {
    return this.#natural.width;
  }

  get naturalHeight() {
    return this.#natural.height;
  }

  get currentSrc() {
    return this.#currentSrc;
  }

  get complete() {
    return !this.#isQueued && (this.#state === "loaded" || this.#state === "failed" || !this.hasAttribute("src"));
  }

  /** Why there is no picture, after an `error` event. */
  get error() {
    return this.#error;
  }

  decode() {
    if (!this.hasAttribute("src")) {
      return Promise.reject(new DOMException("there is no src", "EncodingError"));
    }
    // Who waits for it wants to have it.
    this.#isWanted = true;
    if (this.#state === "waiting" && !this.#isQueued) {
      this.#load();
    }
    return this.#outcome.promise;
  }

  /** @param {string} src */
  #resolve(src) {
    try {
      return new URL(src, this.baseURI).href;
    } catch {
      return src;
    }
  }

  /** Begin anew with the present source, once all attributes are set. */
  #queue() {
    this.#loading?.abort();
    this.#visibility?.disconnect();
    this.#outcome.reject(new DOMException("the source was replaced", "AbortError"));
    this.#outcome = makeOutcome();
    this.#isWanted = false;
    if (this.#isQueued) {
      return;
    }
    this.#isQueued = true;
    queueMicrotask(() => {
      this.#isQueued = false;
      this.#error = undefined;
      if (!this.hasAttribute("src")) {
        this.#setState("empty");
        this.#setNatural(0, 0);
      } else if (this.loading === "lazy" && !this.#isWanted) {
        this.#setState("waiting");
        this.#watch();
      } else {
        this.#load();
      }
    });
  }

  /** Load when the place of the picture comes near. */
  #watch() {
    this.#visibility?.disconnect();
    this.#visibility = new IntersectionObserver(
      (entries) => {
        if (entries.some((entry) => entry.isIntersecting)) {
          this.#load();
        }
      },
      { rootMargin: LAZY_MARGIN },
    );
    this.#visibility.observe(this);
  }

  async #load() {
    this.#visibility?.disconnect();
    const loading = new AbortController();
    const { signal } = loading;
    const outcome = this.#outcome;
    this.#loading = loading;
    this.#setState("loading");
    this.#currentSrc = this.src;
    try {
      const data = await this.#fetch(signal);
      const image = await decodeAsync(data, { signal, rgba: true });
      signal.throwIfAborted();
      const context = this.#canvas.getContext("2d");
      if (context === null) {
        throw new LimitError("there is no canvas to draw on");
      }
      this.#setNatural(image.width, image.height);
      context.putImageData(new ImageData(image.rgba, image.width, image.height), 0, 0);
      this.#isDrawn = true;
      this.#setState("loaded");
      outcome.resolve();
      this.dispatchEvent(new Event("load"));
    } catch (error) {
      if (signal.aborted) {
        return;
      }
      this.#error = error;
      this.#setNatural(0, 0);
      this.#setState("failed");
      outcome.reject(error);
      const message = error instanceof Error ? error.message : String(error);
      this.dispatchEvent(new ErrorEvent("error", { error, message }));
    }
  }

  /**
   * Fetch the file; lay it out as soon as its header has arrived.
   *
   * @param {AbortSignal} signal
   */
  async #fetch(signal) {
    if (this.getAttribute("src")?.trim() === "") {
      throw new Error("src is empty"); // and not the address of the page itself
    }
    const response = await fetch(this.#currentSrc, { signal });
    if (!response.ok) {
      throw new Error(`${this.#currentSrc}: HTTP status ${response.status}`);
    }
    const chunks = [];
    let bytes = 0;
    let isLaidOut = false;
    const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      chunks.push(part.value);
      bytes += part.value.length;
      if (!isLaidOut && bytes >= HEADER_BYTES) {
        isLaidOut = true;
        try {
          const { width, height } = readHeader(join(chunks, bytes));
          if (Math.max(width, height) > LARGEST_SIDE || width * height > DEFAULT_MAX_PIXELS) {
            throw new LimitError(`${width} x ${height} pixels are more than a canvas has`);
          }
          if (!this.#isDrawn) {
            this.#setNatural(width, height); // else the former picture stays until this one takes its place
          }
        } catch (error) {
          reader.cancel();
          throw error;
        }
      }
    }
    return join(chunks, bytes);
  }

  /** @param {"empty" | "waiting" | "loading" | "loaded" | "failed"} state */
  #setState(state) {
    this.#state = state;
    this.#image.classList.toggle("failed", state === "failed");
    this.#describe();
    this.#layOut();
    this.#fit();
  }

  /**
   * @param {number} width
   * @param {number} height
   */
  #setNatural(width, height) {
    // A canvas of that size is blank and takes no memory until something is drawn.
    this.#canvas.width = width;
    this.#canvas.height = height;
    this.#isDrawn = false;
    this.#natural = { width, height };
    this.#layOut();
    this.#fit();
  }

  /** Say what the picture shows, to those who do not see it, and in its place when it is missing. */
  #describe() {
    const alt = this.getAttribute("alt");
    // As with <img>, an empty alternative says that the picture is only decoration.
    this.#image.setAttribute("role", alt === "" ? "presentation" : "img");
    if (alt) {
      this.#image.setAttribute("aria-label", alt);
    } else {
      this.#image.removeAttribute("aria-label");
    }
    this.#text.textContent = this.#state === "failed" ? alt : "";
  }

  /** Give the host the size that its attributes and the picture have; the page's own rules come before these. */
  #layOut() {
    const width = readLength(this.getAttribute("width"));
    const height = readLength(this.getAttribute("height"));
    const natural = this.#natural;
    const rules = [];
    if (width !== undefined) {
      rules.push(`width: ${width.css}`);
    }
    if (height !== undefined) {
      rules.push(`height: ${height.css}`);
    }
    if (natural.width > 0) {
      rules.push(`aspect-ratio: ${natural.width} / ${natural.height}`);
    } else if (width?.unit === "" && height?.unit === "" && width.number > 0 && height.number > 0) {
      rules.push(`aspect-ratio: ${width.number} / ${height.number}`);
    }
    rules.push(`contain-intrinsic-size: ${natural.width}px ${natural.height}px`);
    const failed = this.#state === "failed" ? FAILED_STYLE : "";
    this.#layout?.replaceSync(`:host { ${rules.join("; ")} } ${failed}`);
  }

  /** Enlarge pixels as squares, but reduce smoothly: there, some would be missing. */
  #fit() {
    const { width, height } = this.#natural;
    if (width === 0) {
      return;
    }
    const style = this.#canvas.style;
    // The content box, which no transformation has changed.
    const box = getComputedStyle(this.#image);
    const [room, depth] = [parseFloat(box.width), parseFloat(box.height)];
    const ratio = globalThis.devicePixelRatio || 1;
    const choose = box.objectFit === "cover" ? Math.max : Math.min;
    const scale = choose((room * ratio) / width, (depth * ratio) / height);
    const isSmooth = this.getAttribute("rendering") === "smooth" || scale < 1 - 1e-3;
    style.imageRendering = isSmooth ? "auto" : "pixelated";
    const times = Math.floor(scale + 1e-3);
    if (this.hasAttribute("snap") && times >= 1) {
      // In whole device pixels, from a corner that is on one, as far as the box is.
      const side = (/** @type {number} */ pixels) => (times * pixels) / ratio;
      const margin = (/** @type {number} */ length, /** @type {number} */ used) =>
        Math.floor(((length - used) * ratio) / 2 + 1e-3) / ratio;
      style.inset = "auto";
      style.width = `${side(width)}px`;
      style.height = `${side(height)}px`;
      style.left = `${margin(room, side(width))}px`;
      style.top = `${margin(depth, side(height))}px`;
    } else {
      style.inset = style.width = style.height = style.left = style.top = "";
    }
  }
};

/** Make a promise that is settled from outside, and about which nobody needs to care. */
function makeOutcome() {
  /** @type {() => void} */
  let resolve = () => undefined;
  /** @type {(reason: unknown) => void} */
  let reject = () => undefined;
  const promise = new Promise((/** @type {(value: void) => void} */ onDone, onFailure) => {
    resolve = onDone;
    reject = onFailure;
  });
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}

/**
 * @param {Uint8Array[]} chunks
 * @param {number} length
 */
function join(chunks, length) {
  const all = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    all.set(chunk, offset);
    offset += chunk.length;
  }
  return all;
}

if (globalThis.customElements !== undefined && customElements.get("kmq-image") === undefined) {
  customElements.define("kmq-image", KmqImage);
}
