/** `<kmq-image>`, which importing this module defines. In Node the module can be imported, but has no element. */
export declare class KmqImage extends HTMLElement {
  static observedAttributes: string[];
  src: string;
  alt: string;
  loading: "lazy" | "eager";
  /** Of the box, in CSS pixels; what is set becomes the attribute. */
  get width(): number;
  set width(value: number);
  get height(): number;
  set height(value: number);
  /** Of the picture, in pixels, as soon as its header has arrived. */
  readonly naturalWidth: number;
  readonly naturalHeight: number;
  readonly currentSrc: string;
  /** Whether nothing is being loaded. */
  readonly complete: boolean;
  /** Why there is no picture, after an `error` event. */
  readonly error: unknown;
  /** Resolves when the picture is shown; rejects when it cannot be, or when `src` changes before. */
  decode(): Promise<void>;
}

declare global {
  interface HTMLElementTagNameMap {
    "kmq-image": KmqImage;
  }
}
