/** Decode .kmq files: pictures in few colours, as of the KMQ image format, version 1. */

/** A file that breaks a rule of the format. */
export class KmqError extends Error {
  constructor(offset: number, field: string, found: string | number, expected: string | number);
  /** Where, in bytes from the start of the file. */
  readonly offset: number;
  /** What, by the name that it has in the specification. */
  readonly field: string;
  readonly found: string | number;
  readonly expected: string | number;
}

/** A file that may be valid, but has more pixels than are allowed, or takes more memory than there is. */
export class LimitError extends Error {
  constructor(message: string);
}

/** How many pixels are decoded by default, 2^28. */
export const DEFAULT_MAX_PIXELS: number;

/** What the header says. */
export interface Header {
  readonly version: string;
  readonly coding: "packed" | "context";
  readonly hasAlpha: boolean;
  /** Number of palette entries, K. */
  readonly colors: number;
  readonly indexBits: number;
  readonly width: number;
  readonly height: number;
  readonly stripRows: number;
  /** Number of strips. */
  readonly strips: number;
  readonly sectionsBytes: number;
}

/** A named piece of metadata, as it is in the file. */
export interface Section {
  /** Four letters. */
  readonly type: string;
  readonly payload: Uint8Array;
}

export interface Text {
  readonly keyword: string;
  /** A tag such as "de", or "". */
  readonly language: string;
  readonly translatedKeyword: string;
  readonly text: string;
}

export interface Density {
  /** Pixels per unit across, and down; with an unknown unit only their ratio counts. */
  readonly x: number;
  readonly y: number;
  readonly unit: "metre" | "unknown";
}

/** What well-formed sections say. Profiles, EXIF and XMP are data of an unknown author, and not looked into. */
export interface Metadata {
  icc?: Uint8Array;
  exif?: Uint8Array;
  xmp?: string;
  density?: Density;
  /** How the file was made. */
  recipe?: Record<string, unknown>;
  texts: Text[];
}

/** A decoded picture, or a region of one. */
export interface Image {
  readonly width: number;
  readonly height: number;
  /** Of the whole file, also for a region. */
  readonly header: Header;
  readonly hasAlpha: boolean;
  /** Red, green, blue and alpha of every entry, 4 K bytes; alpha is straight, and 255 in a file without it. */
  readonly palette: Uint8Array;
  /** The index of every pixel, row by row: Uint16Array for K above 256. */
  readonly indices: Uint8Array | Uint16Array;
  /** Red, green, blue and alpha of every pixel, as ImageData has them. Made when it is first asked for. */
  readonly rgba: Uint8ClampedArray<ArrayBuffer>;
  readonly sections: readonly Section[];
  readonly metadata: Metadata;
}

export interface DecodeOptions {
  /** The most pixels that are decoded, by default 2^28; those of pictures of one colour count eightfold. */
  maxPixels?: number;
  signal?: AbortSignal;
}

export interface DecodeAsyncOptions extends DecodeOptions {
  /** Make the pixels in the workers, too, so that `rgba` costs this thread nothing. */
  rgba?: boolean;
}

/** A rectangle of a picture, in pixels. */
export interface Region {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface FetchRegionOptions extends DecodeOptions {
  /** Fetch whole strips of packed files, too, and check them. Else only the region's own rows are fetched. */
  verify?: boolean;
  /** What asks the server; by default the global fetch. */
  fetch?: typeof globalThis.fetch;
}

/**
 * Read and check the header, of a file or of its first 32 bytes.
 *
 * @throws {KmqError}
 */
export function readHeader(data: ArrayBufferLike | ArrayBufferView): Header;

/**
 * Decode a file on this thread.
 *
 * @throws {KmqError} if the file is invalid
 * @throws {LimitError} if it is too large
 */
export function decode(data: ArrayBufferLike | ArrayBufferView, options?: DecodeOptions): Image;

/**
 * Decode a file in workers, strips side by side; small files on this thread, and all where there are no workers.
 * Rejects as `decode` throws, and with the reason of the signal when that aborts. The data stay as they are.
 */
export function decodeAsync(data: ArrayBufferLike | ArrayBufferView, options?: DecodeAsyncOptions): Promise<Image>;

/**
 * Fetch a region of a file from a server, with requests for ranges of bytes, or as a whole from servers that know none.
 * Header, palette and sections are checked; the strips in which the region lies are with `verify`, where coding is by
 * context, and where the file came as a whole.
 *
 * Rejects as `decode` throws, with RangeError for a region that is not in the picture, and as `fetch` does.
 */
export function fetchRegion(url: string | URL, region: Region, options?: FetchRegionOptions): Promise<Image>;

/** Return what sections say; malformed ones, and repeated ones where that is not allowed, are skipped. */
export function readMetadata(sections: readonly Section[]): Metadata;

/** @internal For worker.js. */
export function decodeTask(task: any): { indices: Uint8Array | Uint16Array; rgba?: Uint8ClampedArray };
