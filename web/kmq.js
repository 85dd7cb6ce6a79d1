/**
 * Decode .kmq files, as of spec/kmq-1.md, to which the section numbers here refer.
 *
 * This module knows nothing of pages: it runs in browsers, workers and Node alike. `decode` works on the thread that
 * calls it, `decodeAsync` in workers, and `fetchRegion` asks a server for no more than a region takes.
 */

const SIGNATURE = [0x89, 0x4b, 0x4d, 0x51, 0x0d, 0x0a, 0x1a, 0x0a];
const HEADER_BYTES = 32;
const CRC_BYTES = 4;
const CONTEXT = 1;
const ALPHA_FLAG = 0x10;

/** How many pixels are decoded unless the caller says otherwise (8). */
export const DEFAULT_MAX_PIXELS = 2 ** 28;
// "good defaults are 2^28, and 2^25 for K = 1": there a file of 43 bytes could ask for any amount of memory.
const ONE_COLOR_WEIGHT = 8;

/** A file that breaks a rule of the specification; what, where, and how it should have been (7.1). */
export class KmqError extends Error {
  /**
   * @param {number} offset in bytes, from the start of the file
   * @param {string} field by the name that it has in the specification
   * @param {string | number} found
   * @param {string | number} expected
   */
  constructor(offset, field, found, expected) {
    super(`${field} at offset ${offset}: found ${found}, expected ${expected}`);
    this.name = "KmqError";
    this.offset = offset;
    this.field = field;
    this.found = found;
    this.expected = expected;
  }
}

/** A file that may be valid, but asks for more than the caller or the machine allows. */
export class LimitError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = "LimitError";
  }
}

// Checksums.

// Sixteen tables, so that sixteen bytes are done in a step: entry 256 t + b is the remainder of the byte b with t zero
// bytes behind it.
const CRC_TABLES = new Int32Array(16 * 256);
for (let byte = 0; byte < 256; byte++) {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit++) {
    remainder = remainder & 1 ? (remainder >>> 1) ^ 0xedb88320 : remainder >>> 1;
  }
  CRC_TABLES[byte] = remainder;
}
for (let i = 256; i < 16 * 256; i++) {
  const before = CRC_TABLES[i - 256];
  CRC_TABLES[i] = (before >>> 8) ^ CRC_TABLES[before & 255];
}
// Views of words are in the order of the machine, which is that of the checksum on all but the rarest.
const IS_LITTLE_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

/**
 * Return the state of a CRC-32 after more bytes; it begins as -1, and ends by `~state >>> 0`.
 *
 * @param {number} state
 * @param {Uint8Array} bytes
 * @param {number} start
 * @param {number} end
 */
function updateCrc(state, bytes, start, end) {
  const T = CRC_TABLES;
  let i = start;
  if (IS_LITTLE_ENDIAN && end - start >= 64) {
    for (; ((bytes.byteOffset + i) & 3) !== 0; i++) {
      state = (state >>> 8) ^ T[(state ^ bytes[i]) & 255];
    }
    const words = new Int32Array(bytes.buffer, bytes.byteOffset + i, ((end - i) >>> 4) * 4);
    for (let k = 0; k < words.length; k += 4) {
      const w0 = state ^ words[k];
      const w1 = words[k + 1];
      const w2 = words[k + 2];
      const w3 = words[k + 3];
      state =
        T[0xf00 + (w0 & 255)] ^
        T[0xe00 + ((w0 >>> 8) & 255)] ^
        T[0xd00 + ((w0 >>> 16) & 255)] ^
        T[0xc00 + (w0 >>> 24)] ^
        T[0xb00 + (w1 & 255)] ^
        T[0xa00 + ((w1 >>> 8) & 255)] ^
        T[0x900 + ((w1 >>> 16) & 255)] ^
        T[0x800 + (w1 >>> 24)] ^
        T[0x700 + (w2 & 255)] ^
        T[0x600 + ((w2 >>> 8) & 255)] ^
        T[0x500 + ((w2 >>> 16) & 255)] ^
        T[0x400 + (w2 >>> 24)] ^
        T[0x300 + (w3 & 255)] ^
        T[0x200 + ((w3 >>> 8) & 255)] ^
        T[0x100 + ((w3 >>> 16) & 255)] ^
        T[w3 >>> 24];
    }
    i += 4 * words.length;
  }
  for (; i < end; i++) {
    state = (state >>> 8) ^ T[(state ^ bytes[i]) & 255];
  }
  return state;
}

/**
 * @param {Uint8Array} bytes
 * @param {number} offset
 */
function readU32(bytes, offset) {
  return (bytes[offset] | (bytes[offset + 1] << 8) | (bytes[offset + 2] << 16) | (bytes[offset + 3] << 24)) >>> 0;
}

/** @param {number} value */
function hex(value) {
  return `0x${value.toString(16).padStart(8, "0")}`;
}

/**
 * Compare the checksum that is stored behind bytes with theirs. `place` is where bytes[0] lies in the file.
 *
 * @param {Uint8Array} bytes
 * @param {number} start
 * @param {number} end
 * @param {string} field
 * @param {number} [state]
 * @param {number} [place]
 */
function checkCrc(bytes, start, end, field, state = -1, place = 0) {
  const expected = ~updateCrc(state, bytes, start, end) >>> 0;
  const found = readU32(bytes, end);
  if (found !== expected) {
    throw new KmqError(place + end, field, hex(found), hex(expected));
  }
}

// The header, and what follows from it.

/** @param {number} value */
function bitLength(value) {
  return 32 - Math.clz32(value);
}

/**
 * @param {ArrayBufferLike | ArrayBufferView} data
 * @returns {Uint8Array}
 */
function toBytes(data) {
  if (ArrayBuffer.isView(data)) {
    // A Uint8Array as well: it may be a Buffer of Node's, whose slices are not copies.
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  }
  // Not by instanceof: the buffers of another window or realm are as good.
  const name = Object.prototype.toString.call(data);
  if (name === "[object ArrayBuffer]" || name === "[object SharedArrayBuffer]") {
    return new Uint8Array(data);
  }
  throw new TypeError("data must be an ArrayBuffer, a SharedArrayBuffer or a view of one");
}

/** @type {typeof import("./kmq.js").readHeader} */
export function readHeader(data) {
  const bytes = toBytes(data);
  const size = bytes.length;
  const signature = Array.from(bytes.subarray(0, 8));
  if (size < 8 || signature.some((byte, i) => byte !== SIGNATURE[i])) {
    const found = signature.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    throw new KmqError(0, "signature", found || "nothing", "89 4b 4d 51 0d 0a 1a 0a");
  }
  if (size > 8 && bytes[8] >> 4 !== 1) {
    throw new KmqError(8, "version", `${bytes[8] >> 4}.${bytes[8] & 15}`, "1.0 to 1.15");
  }
  if (size < HEADER_BYTES) {
    throw new KmqError(size, "header", `${size} bytes`, `${HEADER_BYTES} bytes`);
  }
  checkCrc(bytes, 0, 28, "header_crc");

  const storage = bytes[9];
  const coding = storage & 15;
  const lastIndex = bytes[10] | (bytes[11] << 8);
  const width = readU32(bytes, 12);
  const height = readU32(bytes, 16);
  const stripRows = readU32(bytes, 20);
  const sectionsBytes = readU32(bytes, 24);
  if (coding > CONTEXT || storage >> 5 !== 0) {
    throw new KmqError(9, "storage", storage, "coding 0 or 1, and no flag but 16");
  }
  if (coding === CONTEXT && lastIndex === 0) {
    throw new KmqError(10, "last_index", 0, "1 to 65535 with context coding");
  }
  if (width === 0) {
    throw new KmqError(12, "width", 0, "1 or more");
  }
  if (height === 0) {
    throw new KmqError(16, "height", 0, "1 or more");
  }
  if (stripRows === 0 || stripRows > height) {
    throw new KmqError(20, "strip_rows", stripRows, `1 to ${height}`);
  }
  if (coding === CONTEXT && stripRows * width > 2 ** 31) {
    throw new KmqError(20, "strip_rows", stripRows, `at most 2^31 pixels in a strip, ${width} a row`);
  }
  if (sectionsBytes > 0 && sectionsBytes < 12) {
    throw new KmqError(24, "sections_bytes", sectionsBytes, "0, or 12 or more");
  }
  return {
    version: `1.${bytes[8] & 15}`,
    coding: coding === CONTEXT ? "context" : "packed",
    hasAlpha: (storage & ALPHA_FLAG) !== 0,
    colors: lastIndex + 1,
    indexBits: bitLength(lastIndex),
    width,
    height,
    stripRows,
    strips: Math.ceil(height / stripRows),
    sectionsBytes,
  };
}

/**
 * Return where the parts of a file lie. Sizes beyond 2^53 are rounded: no file is as large.
 *
 * @param {import("./kmq.js").Header} header
 */
function computeLayout(header) {
  const { width, height, stripRows, strips, indexBits } = header;
  const isContext = header.coding === "context";
  const paletteBytes = header.colors * (header.hasAlpha ? 4 : 3);
  const sectionsOffset = HEADER_BYTES + paletteBytes + CRC_BYTES;
  const tableOffset = sectionsOffset + header.sectionsBytes;
  const tableBytes = isContext && strips > 1 ? 4 * strips : 0;
  const stripsOffset = tableOffset + tableBytes;
  const lastRows = height - (strips - 1) * stripRows;
  const stripBytes = Math.ceil((stripRows * width * indexBits) / 8) + CRC_BYTES;
  const lastBytes = Math.ceil((lastRows * width * indexBits) / 8) + CRC_BYTES;
  // With context coding, the least size: each strip has at least its checksum.
  const fileBytes = stripsOffset + (isContext ? CRC_BYTES * strips : (strips - 1) * stripBytes + lastBytes);
  return { paletteBytes, sectionsOffset, tableOffset, tableBytes, stripsOffset, stripBytes, lastBytes, fileBytes };
}

/**
 * @param {import("./kmq.js").Header} header
 * @param {number} pixels
 * @param {number} maxPixels
 */
function checkLimit(header, pixels, maxPixels) {
  if (typeof maxPixels !== "number" || Number.isNaN(maxPixels)) {
    throw new TypeError("maxPixels must be a number");
  }
  const limit = header.colors === 1 ? Math.floor(maxPixels / ONE_COLOR_WEIGHT) : maxPixels;
  if (pixels > limit) {
    const what = header.colors === 1 ? "pixels of one colour" : "pixels";
    throw new LimitError(`${header.width} x ${header.height}: ${pixels} ${what}, more than the limit of ${limit}`);
  }
}

/**
 * @param {number} found
 * @param {number} expected
 * @param {boolean} [atLeast]
 */
function tooShort(found, expected, atLeast = false) {
  return new KmqError(found, "file", `${found} bytes`, `${atLeast ? "at least " : ""}${expected} bytes`);
}

/**
 * Check the palette, and return it as red, green, blue, alpha of each entry.
 *
 * @param {import("./kmq.js").Header} header
 * @param {Uint8Array} bytes the file, or its beginning
 */
function readPalette(header, bytes) {
  const { colors, hasAlpha } = header;
  checkCrc(bytes, HEADER_BYTES, HEADER_BYTES + colors * (hasAlpha ? 4 : 3), "palette_crc");
  const palette = new Uint8Array(4 * colors);
  const alphas = HEADER_BYTES + 3 * colors;
  for (let i = 0; i < colors; i++) {
    palette[4 * i] = bytes[HEADER_BYTES + 3 * i];
    palette[4 * i + 1] = bytes[HEADER_BYTES + 3 * i + 1];
    palette[4 * i + 2] = bytes[HEADER_BYTES + 3 * i + 2];
    palette[4 * i + 3] = hasAlpha ? bytes[alphas + i] : 255;
  }
  return palette;
}

// Sections.

/**
 * Return the text of UTF-8, or undefined.
 *
 * @param {Uint8Array} bytes
 */
function readUtf8(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/**
 * @param {Uint8Array} bytes
 * @param {number} offset
 * @param {string} text ASCII
 */
function hasAt(bytes, offset, text) {
  return [...text].every((letter, i) => bytes[offset + i] === letter.charCodeAt(0));
}

/**
 * Return what a text section says (5.2), or undefined if it is malformed.
 *
 * @param {Uint8Array} payload
 */
function readText(payload) {
  const all = readUtf8(payload);
  const parts = all?.split("\0");
  if (parts?.length !== 4 || parts[0] === "" || /[^\x01-\x7f]/.test(parts[1])) {
    return undefined;
  }
  return { keyword: parts[0], language: parts[1], translatedKeyword: parts[2], text: parts[3] };
}

/**
 * Return the pixels per unit of a density section (5.3), or undefined if it is malformed.
 *
 * @param {Uint8Array} payload
 * @returns {import("./kmq.js").Density | undefined}
 */
function readDensity(payload) {
  if (payload.length !== 9) {
    return undefined;
  }
  const x = readU32(payload, 0);
  const y = readU32(payload, 4);
  const unit = payload[8];
  if (x === 0 || y === 0 || unit > 1) {
    return undefined;
  }
  return { x, y, unit: unit === 1 ? "metre" : "unknown" };
}

/**
 * Return the object of a recipe (5.4), or undefined if it is malformed.
 *
 * @param {Uint8Array} payload
 */
function readRecipe(payload) {
  try {
    const value = JSON.parse(readUtf8(payload) ?? "");
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    // Not JSON, or nested more deeply than the parser's stack: "It may treat objects that are deeply nested ... as
    // malformed."
    return undefined;
  }
}

/**
 * Check the section area, and return its sections in their order.
 *
 * @param {Uint8Array} bytes the file, or its beginning
 * @param {number} start
 * @param {number} sectionsBytes
 * @returns {import("./kmq.js").Section[]}
 */
function readSections(bytes, start, sectionsBytes) {
  if (sectionsBytes === 0) {
    return [];
  }
  const end = start + sectionsBytes - CRC_BYTES;
  checkCrc(bytes, start, end, "sections_crc");
  const sections = [];
  let offset = start;
  while (offset < end) {
    if (end - offset < 8) {
      throw new KmqError(offset, "section", `${end - offset} bytes`, "at least 8 bytes for a section");
    }
    const type = String.fromCharCode(...bytes.subarray(offset, offset + 4));
    if (!/^[A-Za-z]{4}$/.test(type)) {
      throw new KmqError(offset, "section type", JSON.stringify(type), "four ASCII letters");
    }
    if (type[0] < "a") {
      throw new KmqError(offset, "section type", JSON.stringify(type), "a required section that is known");
    }
    const length = readU32(bytes, offset + 4);
    if (length > end - offset - 8) {
      throw new KmqError(offset + 4, "section length", length, `at most ${end - offset - 8}`);
    }
    sections.push({ type, payload: bytes.slice(offset + 8, offset + 8 + length) });
    offset += 8 + length;
  }
  return sections;
}

/** @type {typeof import("./kmq.js").readMetadata} */
export function readMetadata(sections) {
  /** @type {import("./kmq.js").Metadata} */
  const metadata = { texts: [] };
  const seen = new Set();
  for (const { type, payload } of sections) {
    if (type === "text") {
      const text = readText(payload);
      if (text !== undefined) {
        metadata.texts.push(text);
      }
      continue;
    }
    // "every occurrence but the first of a type that occurs at most once, whether the first was well-formed or not"
    if (seen.has(type)) {
      continue;
    }
    seen.add(type);
    if (type === "iccp" && hasAt(payload, 16, "RGB ") && hasAt(payload, 36, "acsp")) {
      metadata.icc = payload;
    } else if (type === "exif" && (hasAt(payload, 0, "II*\0") || hasAt(payload, 0, "MM\0*"))) {
      metadata.exif = payload;
    } else if (type === "axmp") {
      metadata.xmp = readUtf8(payload);
    } else if (type === "dens") {
      metadata.density = readDensity(payload);
    } else if (type === "rcpe") {
      metadata.recipe = readRecipe(payload);
    }
  }
  return metadata;
}

// Packed coding (6.1).

/**
 * Unpack indices of up to 8 bits, from a bit on. `bytes` is read to the last byte of theirs and not further.
 *
 * @param {Uint8Array} bytes
 * @param {number} byte in which the first index begins
 * @param {number} bit of that byte at which it begins, 0 the most significant
 * @param {number} bits 1..8
 * @param {Uint8Array} out
 * @param {number} start
 * @param {number} count
 */
function unpackNarrow(bytes, byte, bit, bits, out, start, count) {
  const mask = (1 << bits) - 1;
  let i = start;
  const end = start + count;
  // Single indices, up to one that begins a byte...
  for (; bit !== 0 && i < end; i++) {
    const pair = (bytes[byte] << 8) | (bit + bits > 8 ? bytes[byte + 1] : 0);
    out[i] = (pair >> (16 - bits - bit)) & mask;
    bit += bits;
    byte += bit >> 3;
    bit &= 7;
  }
  // ...then eight at a time, which are `bits` bytes...
  const whole = i + ((end - i) & ~7);
  if (bits === 4) {
    for (; i < whole; i += 8, byte += 4) {
      const b0 = bytes[byte];
      const b1 = bytes[byte + 1];
      const b2 = bytes[byte + 2];
      const b3 = bytes[byte + 3];
      out[i] = b0 >> 4;
      out[i + 1] = b0 & 15;
      out[i + 2] = b1 >> 4;
      out[i + 3] = b1 & 15;
      out[i + 4] = b2 >> 4;
      out[i + 5] = b2 & 15;
      out[i + 6] = b3 >> 4;
      out[i + 7] = b3 & 15;
    }
  } else if (bits === 8) {
    out.set(bytes.subarray(byte, byte + whole - i), i);
    byte += whole - i;
    i = whole;
  } else if (bits === 1) {
    for (; i < whole; i += 8, byte++) {
      const b = bytes[byte];
      out[i] = b >> 7;
      out[i + 1] = (b >> 6) & 1;
      out[i + 2] = (b >> 5) & 1;
      out[i + 3] = (b >> 4) & 1;
      out[i + 4] = (b >> 3) & 1;
      out[i + 5] = (b >> 2) & 1;
      out[i + 6] = (b >> 1) & 1;
      out[i + 7] = b & 1;
    }
  } else if (bits === 2) {
    for (; i < whole; i += 8, byte += 2) {
      const b0 = bytes[byte];
      const b1 = bytes[byte + 1];
      out[i] = b0 >> 6;
      out[i + 1] = (b0 >> 4) & 3;
      out[i + 2] = (b0 >> 2) & 3;
      out[i + 3] = b0 & 3;
      out[i + 4] = b1 >> 6;
      out[i + 5] = (b1 >> 4) & 3;
      out[i + 6] = (b1 >> 2) & 3;
      out[i + 7] = b1 & 3;
    }
  } else if (bits === 6) {
    for (; i < whole; i += 8, byte += 6) {
      const first = (bytes[byte] << 16) | (bytes[byte + 1] << 8) | bytes[byte + 2];
      const second = (bytes[byte + 3] << 16) | (bytes[byte + 4] << 8) | bytes[byte + 5];
      out[i] = first >> 18;
      out[i + 1] = (first >> 12) & 63;
      out[i + 2] = (first >> 6) & 63;
      out[i + 3] = first & 63;
      out[i + 4] = second >> 18;
      out[i + 5] = (second >> 12) & 63;
      out[i + 6] = (second >> 6) & 63;
      out[i + 7] = second & 63;
    }
  } else {
    // 3, 5 and 7 bits: four indices are 12, 20 or 28 bits, of which the second four begin within a byte.
    for (; i < whole; i += 8, byte += bits) {
      const half = bits >> 1;
      let first = 0;
      for (let k = 0; k <= half; k++) {
        first = (first << 8) | bytes[byte + k];
      }
      let second = 0;
      for (let k = half; k < bits; k++) {
        second = (second << 8) | bytes[byte + k];
      }
      first >>>= 4;
      out[i] = (first >> (3 * bits)) & mask;
      out[i + 1] = (first >> (2 * bits)) & mask;
      out[i + 2] = (first >> bits) & mask;
      out[i + 3] = first & mask;
      out[i + 4] = (second >> (3 * bits)) & mask;
      out[i + 5] = (second >> (2 * bits)) & mask;
      out[i + 6] = (second >> bits) & mask;
      out[i + 7] = second & mask;
    }
  }
  // ...and those that are left.
  for (; i < end; i++) {
    const pair = (bytes[byte] << 8) | (bit + bits > 8 ? bytes[byte + 1] : 0);
    out[i] = (pair >> (16 - bits - bit)) & mask;
    bit += bits;
    byte += bit >> 3;
    bit &= 7;
  }
}

/**
 * Unpack indices of 9 to 16 bits; otherwise like unpackNarrow.
 *
 * @param {Uint8Array} bytes
 * @param {number} byte
 * @param {number} bit
 * @param {number} bits 9..16
 * @param {Uint16Array} out
 * @param {number} start
 * @param {number} count
 */
function unpackWide(bytes, byte, bit, bits, out, start, count) {
  const mask = (1 << bits) - 1;
  for (let i = start; i < start + count; i++) {
    const triple = (bytes[byte] << 16) | (bytes[byte + 1] << 8) | (bit + bits > 16 ? bytes[byte + 2] : 0);
    out[i] = (triple >> (24 - bits - bit)) & mask;
    bit += bits;
    byte += bit >> 3;
    bit &= 7;
  }
}

/**
 * Return the place of the first index over lastIndex, or -1.
 *
 * @param {Uint8Array | Uint16Array} indices
 * @param {number} start
 * @param {number} end
 * @param {number} lastIndex
 */
function findTooLarge(indices, start, end, lastIndex) {
  for (let i = start; i < end; i++) {
    if (indices[i] > lastIndex) {
      return i;
    }
  }
  return -1;
}

/**
 * Unpack indices, of which the first begins at a bit of bytes, and check that all are in the palette.
 *
 * @param {Uint8Array} bytes
 * @param {number} firstBit may be beyond 2^32
 * @param {{colors: number, indexBits: number}} header
 * @param {Uint8Array | Uint16Array} out
 * @param {number} start
 * @param {number} count
 * @param {number} place where bytes[0] lies in the file
 */
function unpackIndices(bytes, firstBit, header, out, start, count, place) {
  const { colors, indexBits } = header;
  const bit = firstBit % 8;
  const byte = (firstBit - bit) / 8;
  if (indexBits === 0) {
    return; // K = 1: "every pixel has index 0", as in new arrays.
  }
  if (out instanceof Uint8Array) {
    unpackNarrow(bytes, byte, bit, indexBits, out, start, count);
  } else {
    unpackWide(bytes, byte, bit, indexBits, out, start, count);
  }
  if (colors === 1 << indexBits) {
    return;
  }
  const wrong = findTooLarge(out, start, start + count, colors - 1);
  if (wrong >= 0) {
    const offset = place + Math.floor((firstBit + (wrong - start) * indexBits) / 8);
    throw new KmqError(offset, "index", out[wrong], `at most ${colors - 1}`);
  }
}

/**
 * Decode the payload of a packed strip.
 *
 * @param {Uint8Array} bytes
 * @param {number} start of the payload
 * @param {number} end of the payload
 * @param {{colors: number, indexBits: number}} header
 * @param {Uint8Array | Uint16Array} out
 * @param {number} outStart
 * @param {number} pixels
 * @param {number} place where bytes[0] lies in the file
 */
function decodePacked(bytes, start, end, header, out, outStart, pixels, place) {
  unpackIndices(bytes, start * 8, header, out, outStart, pixels, place);
  const used = (pixels * header.indexBits) % 8;
  if (used !== 0) {
    const padding = bytes[end - 1] & (255 >> used);
    if (padding !== 0) {
      throw new KmqError(place + end - 1, "padding", padding, "zero bits");
    }
  }
}

// Context coding (6.2). Names are those of the specification.

const M_W = 0x9e3779b1 | 0;
const M_N = 0x85ebca6b | 0;
const M_NW = 0xc2b2ae35 | 0;
const M_NE = 0x27d4eb2f | 0;
const M_WW = 0x165667b1 | 0;
const M_NN = 0xd3a2646d | 0;
const M_NEE = 0xfd7046c5 | 0;
const M_NNE = 0xb55a4f09 | 0;
const M_NWW = 0x8da6b343 | 0;
const M_NNW = 0xd8163841 | 0;
const M_WWW = 0xcb1ab31f | 0;
const M_NEEE = 0xa2f5c2c9 | 0;
const M_W4 = 0x2545f491 | 0;
const M_W5 = 0x3c6ef373 | 0;
const M_W6 = 0x78dde6e5 | 0;
const M_NE4 = 0x60bee2bf | 0;
const M_NE5 = 0xdaa66d2b | 0;
const M_NWWW = 0x7feb352d | 0;
const M_NNEE = 0x846ca68b | 0;
const M_NNWW = 0x9e6c63d1 | 0;
const M_KIND = 0x3d4d51cb | 0;
const M_NODE = 0x2f0b4c47 | 0;
const M_BROKEN = 0x5851f42d | 0;

const LOGISTIC = [
  32768, 38841, 44511, 49474, 53581, 56822, 59287, 61109, 62428, 63368, 64030, 64494, 64816, 65039, 65194, 65300, 65374,
  65425, 65459, 65483, 65500, 65511, 65519, 65524, 65528, 65530, 65532, 65533, 65534, 65535, 65535, 65535, 65535,
];
const LARGEST_COUNTS = [31, 31, 24, 18, 14, 11, 9, 8];
const STATES = 244;
const VECTOR = 24;
const LARGEST_WEIGHT = 30000;
const PAD = 6; // columns beyond either end of a row that neighbours reach
const LONGEST_RUN = 32;

/** Return squash(x) at x + 2048, and stretch(q) at q (6.2.2). */
function makeLogistic() {
  /** @param {number} i */
  const L = (i) => (i < 0 ? 65536 - LOGISTIC[-i] : LOGISTIC[i]);
  const squash = new Int32Array(4096);
  for (let x = -2048; x < 2048; x++) {
    squash[x + 2048] = (L(x >> 6) * (64 - (x & 63)) + L((x >> 6) + 1) * (x & 63) + 32) >> 6;
  }
  const stretch = new Int32Array(4096);
  let x = -2048;
  for (let q = 0; q < 4096; q++) {
    while (squash[x + 2048] < 16 * q + 8) {
      x++;
    }
    stretch[q] = x;
  }
  return { squash, stretch };
}

/** Return next(state, decision) at 2 * state + decision, and the first probability of each state (6.2.2, 6.2.5). */
function makeStates() {
  const pairs = [];
  const numbers = new Map();
  for (let sum = 0; sum <= 32; sum++) {
    for (let z = 0; z <= sum; z++) {
      const m = Math.min(z, sum - z);
      if (m <= 7 && Math.max(z, sum - z) <= LARGEST_COUNTS[m]) {
        numbers.set(`${z},${sum - z}`, pairs.length);
        pairs.push([z, sum - z]);
      }
    }
  }
  const next = new Uint8Array(2 * STATES);
  const firstChances = new Uint16Array(STATES);
  pairs.forEach(([z, o], state) => {
    firstChances[state] = Math.floor(((2 * o + 1) * 32768) / (z + o + 1));
    for (const decision of [0, 1]) {
      const counts = [z, o];
      counts[decision]++;
      const other = 1 - decision;
      if (counts[other] > 2) {
        counts[other] = (counts[other] + 2) >> 1;
      }
      const larger = counts[0] > counts[1] ? 0 : 1;
      counts[larger] = Math.min(counts[larger], LARGEST_COUNTS[counts[1 - larger]]);
      next[2 * state + decision] = numbers.get(counts.join());
    }
  });
  return { next, firstChances };
}

/**
 * Decodes bytes from start to end, of which bytes[0] lies at place in the file, to rows of out from outStart on.
 *
 * @callback ContextDecoder
 * @param {Uint8Array} bytes
 * @param {number} start
 * @param {number} end
 * @param {{width: number, colors: number}} header
 * @param {Uint8Array} palette
 * @param {Uint8Array | Uint16Array} out
 * @param {number} outStart
 * @param {number} rows
 * @param {number} place
 * @returns {void}
 */

/** @type {ContextDecoder | undefined} */
let contextDecoder;

/**
 * Make the function that decodes the payload of a context-coded strip.
 *
 * It is made once, when it is first needed. Its tables, less than 8 MB, are constants of the functions in here, and
 * serve all strips one after another: the compilers of browsers then make of each access hardly more than a load.
 */
function createContextDecoder() {
  const { squash: SQUASH, stretch: STRETCH } = makeLogistic();
  const { next: NEXT, firstChances: FIRST_CHANCES } = makeStates();

  // The flag table and, behind it, the step table, so that a place in either is a place in ENTRIES. A flag entry has 4
  // bytes, a check of 16 bits and the states s0, s1; a step entry has 8, a check of 8 bits and the states s1..s7.
  const STEP_TABLE = 4 << 18;
  const tables = new ArrayBuffer(STEP_TABLE + (8 << 18));
  const ENTRIES = new Uint8Array(tables);
  const CHECKS = new Uint16Array(tables);
  const FLAG_STATES = 2; // behind the check

  const MAPS = new Uint16Array(4 * 8 * STATES);
  const REFINEMENTS = new Uint16Array(2 * 4096 * VECTOR); // RA, then RB
  const COUNTERS = new Uint16Array(2 * 22 * 3);
  const WEIGHTS = new Int16Array(4286 * VECTOR);
  // No weight of a vector is larger than this: while it is below the largest that is allowed, nothing is clamped.
  const BOUNDS = new Int32Array(4286);
  const FINAL_WEIGHTS = new Int16Array(20 * 3);
  const MATCH_TABLES = new Int32Array(2 << 16);

  // Of the arithmetic decoder and the model: numbers of 32 bits, which would be boxed in variables.
  const CODER = new Uint32Array(5);
  const LOW = 0;
  const HIGH = 1;
  const WINDOW = 2;
  const POSITION = 3;
  const DECISIONS = 4;

  // Of a decision.
  const STEP_PLACES = new Int32Array(8);
  const KEYS = new Int32Array(8);
  const PLACES = new Int32Array(8);
  const INPUT = new Int32Array(VECTOR);
  const X = 16; // where the extra inputs begin
  const USED_MAPS = new Int32Array(8);
  const HASHES = new Int32Array(8);
  const FOUND = new Int32Array(8);

  // The palette tree, and the channels of the palette.
  const LEAVES = new Int32Array(65536); // the node of an index
  const NODES = new Int32Array(2 << 17); // the index of a leaf, or -1
  const THRESHOLDS = new Uint8Array(1 << 17);
  const CHANNELS = new Uint8Array(1 << 17);
  const PLANES = new Uint8Array(4 * 65536);
  /** @type {Uint8Array | undefined} */
  let plantedPalette;

  // The matches: a number, a length, a prediction (g), a level and a candidate for each of the two.
  const MATCH = new Int32Array(2);
  const LENGTH = new Int32Array(2);
  const G = new Int32Array(2);
  const LEVEL = new Int32Array(2);
  const CANDIDATE = new Int32Array(2);
  const COUNTER = new Int32Array(2);
  const AGREE = new Int32Array(2);

  let flagShift = 0;
  let stepShift = 0;
  let matchShift = 0;

  /** Begin a new model (6.2.5). @param {number} pixels */
  function reset(pixels) {
    const size = bitLength(pixels - 1) + 3;
    const tableBits = Math.min(Math.max(size, 8), 18);
    const matchBits = Math.min(Math.max(size - 3, 8), 16);
    flagShift = 32 - tableBits;
    stepShift = 32 - tableBits;
    matchShift = 32 - matchBits;
    ENTRIES.fill(0, 0, 4 << tableBits);
    ENTRIES.fill(0, STEP_TABLE, STEP_TABLE + (8 << tableBits));
    for (let i = 0; i < 4 * 8; i++) {
      MAPS.set(FIRST_CHANCES, i * STATES);
    }
    for (let j = 0; j < VECTOR; j++) {
      REFINEMENTS[j] = SQUASH[Math.min(Math.max(Math.floor((j * 4096) / 23) - 2048, -2047), 2047) + 2048];
    }
    for (let filled = VECTOR; filled < REFINEMENTS.length; filled *= 2) {
      REFINEMENTS.copyWithin(filled, 0, Math.min(filled, REFINEMENTS.length - filled));
    }
    COUNTERS.fill(49152);
    for (let j = 0; j < VECTOR; j++) {
      WEIGHTS[j] = j < 16 && j % 2 === 0 ? 3072 : 0;
    }
    for (let filled = VECTOR; filled < WEIGHTS.length; filled *= 2) {
      WEIGHTS.copyWithin(filled, 0, Math.min(filled, WEIGHTS.length - filled));
    }
    BOUNDS.fill(3072);
    FINAL_WEIGHTS.fill(5461);
    MATCH_TABLES.fill(0, 0, 1 << matchBits);
    MATCH_TABLES.fill(0, 1 << 16, (1 << 16) + (1 << matchBits));
    MATCH.fill(0);
    LENGTH.fill(0);
    CODER[DECISIONS] = 0;
  }

  /** Make the palette tree (6.2.3). @param {Uint8Array} palette @param {number} colors */
  function plant(palette, colors) {
    if (plantedPalette === palette) {
      return;
    }
    plantedPalette = undefined;
    for (let i = 0; i < colors; i++) {
      for (let channel = 0; channel < 4; channel++) {
        PLANES[(channel << 16) + i] = palette[4 * i + channel];
      }
    }
    NODES.fill(-1);
    const lists = Uint16Array.from({ length: colors }, (_, i) => i);
    const sorted = new Uint16Array(colors);
    const starts = new Int32Array(257);
    const todo = [[1, 0, colors]];
    for (let task = todo.pop(); task !== undefined; task = todo.pop()) {
      const [node, start, end] = task;
      if (end - start === 1) {
        LEAVES[lists[start]] = node;
        NODES[node] = lists[start];
        continue;
      }
      let widest = 0;
      let largest = -1;
      for (let channel = 0; channel < 4; channel++) {
        let least = 255;
        let most = 0;
        for (let i = start; i < end; i++) {
          const value = PLANES[(channel << 16) + lists[i]];
          least = Math.min(least, value);
          most = Math.max(most, value);
        }
        const product = (most - least) * [2, 4, 1, 4][channel];
        if (product > largest) {
          largest = product;
          widest = channel;
        }
      }
      // Sort by counting, which leaves equal values in their order.
      const plane = widest << 16;
      starts.fill(0);
      for (let i = start; i < end; i++) {
        starts[PLANES[plane + lists[i]] + 1]++;
      }
      for (let value = 0; value < 256; value++) {
        starts[value + 1] += starts[value];
      }
      for (let i = start; i < end; i++) {
        sorted[starts[PLANES[plane + lists[i]]]++] = lists[i];
      }
      lists.set(sorted.subarray(0, end - start), start);
      const middle = start + ((end - start + 1) >> 1);
      CHANNELS[node] = widest;
      THRESHOLDS[node] = (PLANES[plane + lists[middle - 1]] + PLANES[plane + lists[middle]] + 1) >> 1;
      todo.push([2 * node, start, middle], [2 * node + 1, middle, end]);
    }
    plantedPalette = palette;
  }

  /** @param {number} key */
  function hash(key) {
    const h = Math.imul(key, M_W);
    return Math.imul(h ^ (h >>> 15), M_N);
  }

  /** @param {number} length */
  function levelOf(length) {
    // 16 for 16..31, 17 to 63, 18 to 127, 19 to 255, 20 to 511, 21 above.
    return length < 16 ? length : length > 511 ? 21 : 43 - Math.clz32(length);
  }

  /** Find the flag entries of KEYS, and put the places of their states s0 into PLACES (6.2.6). */
  function findFlagEntries() {
    const shift = flagShift;
    for (let i = 0; i < 8; i++) {
      const h = hash((KEYS[i] + Math.imul(i, M_KIND)) | 0);
      HASHES[i] = h;
      // "First the checks of all eight entries e are read"
      FOUND[i] = CHECKS[2 * (h >>> shift)];
    }
    for (let i = 0; i < 8; i++) {
      const h = HASHES[i];
      let entry = h >>> shift;
      const check = h & 65535 || 1;
      if (FOUND[i] !== check) {
        const other = entry ^ 1;
        if (CHECKS[2 * other] === check) {
          entry = other;
        } else {
          if (ENTRIES[4 * other + FLAG_STATES] < ENTRIES[4 * entry + FLAG_STATES]) {
            entry = other;
          }
          CHECKS[2 * entry] = check;
          ENTRIES[4 * entry + FLAG_STATES] = 0;
          ENTRIES[4 * entry + FLAG_STATES + 1] = 0;
        }
      }
      PLACES[i] = 4 * entry + FLAG_STATES;
    }
  }

  /** Find the step entries of KEYS and a salt, and put their places into STEP_PLACES (6.2.6). @param {number} salt */
  function findStepEntries(salt) {
    const shift = stepShift;
    for (let i = 0; i < 8; i++) {
      const h = hash((KEYS[i] + salt + Math.imul(i, M_KIND)) | 0);
      HASHES[i] = h;
      FOUND[i] = ENTRIES[STEP_TABLE + 8 * (h >>> shift)];
    }
    for (let i = 0; i < 8; i++) {
      const h = HASHES[i];
      let place = STEP_TABLE + 8 * (h >>> shift);
      const check = h & 255 || 1;
      if (FOUND[i] !== check) {
        const other = place ^ 8;
        if (ENTRIES[other] === check) {
          place = other;
        } else {
          if (ENTRIES[other + 1] < ENTRIES[place + 1]) {
            place = other;
          }
          ENTRIES[place] = check;
          for (let state = 1; state < 8; state++) {
            ENTRIES[place + state] = 0;
          }
        }
      }
      STEP_PLACES[i] = place;
    }
  }

  /**
   * Decode a decision of which PLACES and the extra inputs are set, and learn from it (6.2.7).
   *
   * @param {Uint8Array} bytes
   * @param {number} end of the payload
   * @param {number} kind
   * @param {number} inputs how many there are, an even number: those behind are 0, and neither count nor change weights
   * @param {number} v0
   * @param {number} v1
   * @param {number} v2
   * @param {number} f
   * @param {number} a
   * @param {number} b
   * @returns {number}
   */
  function decide(bytes, end, kind, inputs, v0, v1, v2, f, a, b) {
    // 1, 2: the inputs.
    let map = kind * (8 * STATES);
    let known = 0;
    for (let i = 0; i < 8; i++) {
      const state = ENTRIES[PLACES[i]];
      USED_MAPS[i] = map + state;
      const chance = MAPS[map + state] >> 4;
      if (state !== 0) {
        INPUT[2 * i] = STRETCH[chance];
        INPUT[2 * i + 1] = (chance - 2048) >> 1;
        known += i > 0 && i < 4 ? 1 : 0;
      } else {
        INPUT[2 * i] = STRETCH[chance] >> 2;
        INPUT[2 * i + 1] = 0;
      }
      map += STATES;
    }

    // 3: mixing.
    const w0 = (v0 + known) * VECTOR;
    const w1 = v1 * VECTOR;
    const w2 = v2 * VECTOR;
    let t0 = 0;
    let t1 = 0;
    let t2 = 0;
    for (let j = 0; j < inputs; j += 2) {
      const x = INPUT[j];
      const y = INPUT[j + 1];
      t0 = (t0 + Math.imul(x, WEIGHTS[w0 + j]) + Math.imul(y, WEIGHTS[w0 + j + 1])) | 0;
      t1 = (t1 + Math.imul(x, WEIGHTS[w1 + j]) + Math.imul(y, WEIGHTS[w1 + j + 1])) | 0;
      t2 = (t2 + Math.imul(x, WEIGHTS[w2 + j]) + Math.imul(y, WEIGHTS[w2 + j + 1])) | 0;
    }
    t0 = clamp(t0 >> 14);
    t1 = clamp(t1 >> 14);
    t2 = clamp(t2 >> 14);
    const u = 3 * f;
    const u0 = FINAL_WEIGHTS[u];
    const u1 = FINAL_WEIGHTS[u + 1];
    const u2 = FINAL_WEIGHTS[u + 2];
    const t = clamp((Math.imul(t0, u0) + Math.imul(t1, u1) + Math.imul(t2, u2)) >> 14);
    const p = SQUASH[t + 2048];

    // 4, 5: refinement.
    const scaled = (t + 2048) * 23;
    const slot = scaled >> 12;
    const part = scaled & 4095;
    const ra = VECTOR * (hash(a) >>> 20) + slot;
    const rb = VECTOR * (4096 + (hash(b) >>> 20)) + slot;
    const pa = (REFINEMENTS[ra] * (4096 - part) + REFINEMENTS[ra + 1] * part) >> 12;
    const pb = (REFINEMENTS[rb] * (4096 - part) + REFINEMENTS[rb + 1] * part) >> 12;
    const P = Math.min(Math.max((2 * p + pa + pb + 2) >> 2, 16), 65520);

    // The arithmetic decoder (6.2.1).
    let low = CODER[LOW];
    let high = CODER[HIGH];
    let window = CODER[WINDOW];
    const range = (high - low) >>> 0;
    const middle = (low + Math.imul(range >>> 16, P) + (Math.imul(range & 65535, P) >>> 16)) >>> 0;
    const d = window <= middle ? 1 : 0;
    if (d === 1) {
      high = middle;
    } else {
      low = (middle + 1) >>> 0;
    }
    if ((low ^ high) >>> 24 === 0) {
      let position = CODER[POSITION];
      do {
        low = (low << 8) >>> 0;
        high = ((high << 8) | 255) >>> 0;
        window = ((window << 8) | (position < end ? bytes[position] : 0)) >>> 0;
        position++;
      } while ((low ^ high) >>> 24 === 0);
      CODER[WINDOW] = window;
      CODER[POSITION] = position;
    }
    CODER[LOW] = low;
    CODER[HIGH] = high;

    // 6: learning.
    const goal = d === 1 ? 65535 : 0;
    const near = part >> 11;
    REFINEMENTS[ra + near] += (goal - REFINEMENTS[ra + near]) >> 6;
    REFINEMENTS[rb + near] += (goal - REFINEMENTS[rb + near]) >> 6;
    const error = ((goal - p) >> 4) * 6;
    FINAL_WEIGHTS[u] = clampWeight(u0 + ((Math.imul(t0, error) + 131072) >> 18));
    FINAL_WEIGHTS[u + 1] = clampWeight(u1 + ((Math.imul(t1, error) + 131072) >> 18));
    FINAL_WEIGHTS[u + 2] = clampWeight(u2 + ((Math.imul(t2, error) + 131072) >> 18));
    const decisions = CODER[DECISIONS];
    const rate = (20 + 9830400 / (65536 + decisions)) | 0;
    if (decisions < 1 << 24) {
      CODER[DECISIONS] = decisions + 1;
    }
    const e0 = clampError(Math.imul(goal - SQUASH[t0 + 2048], rate) >> 8);
    const e1 = clampError(Math.imul(goal - SQUASH[t1 + 2048], rate) >> 8);
    const e2 = clampError(Math.imul(goal - SQUASH[t2 + 2048], rate) >> 8);
    const change0 = largestChange(e0);
    const change1 = largestChange(e1);
    const change2 = largestChange(e2);
    if (change0 + change1 + change2 !== 0) {
      const bound0 = BOUNDS[v0 + known] + change0;
      const bound1 = BOUNDS[v1] + change1;
      const bound2 = BOUNDS[v2] + change2;
      if (bound0 <= LARGEST_WEIGHT && bound1 <= LARGEST_WEIGHT && bound2 <= LARGEST_WEIGHT) {
        BOUNDS[v0 + known] = bound0;
        BOUNDS[v1] = bound1;
        BOUNDS[v2] = bound2;
        for (let j = 0; j < inputs; j += 2) {
          const x = INPUT[j];
          const y = INPUT[j + 1];
          WEIGHTS[w0 + j] += (Math.imul(x, e0) + 32768) >> 16;
          WEIGHTS[w1 + j] += (Math.imul(x, e1) + 32768) >> 16;
          WEIGHTS[w2 + j] += (Math.imul(x, e2) + 32768) >> 16;
          WEIGHTS[w0 + j + 1] += (Math.imul(y, e0) + 32768) >> 16;
          WEIGHTS[w1 + j + 1] += (Math.imul(y, e1) + 32768) >> 16;
          WEIGHTS[w2 + j + 1] += (Math.imul(y, e2) + 32768) >> 16;
        }
      } else {
        learnWithClamps(v0 + known, e0, inputs);
        learnWithClamps(v1, e1, inputs);
        learnWithClamps(v2, e2, inputs);
      }
    }
    for (let i = 0; i < 8; i++) {
      const used = USED_MAPS[i];
      MAPS[used] += (goal - MAPS[used]) >> 7;
      const place = PLACES[i];
      ENTRIES[place] = NEXT[2 * ENTRIES[place] + d];
    }
    return d;
  }

  /** Return how far learning can move a weight, as inputs are at most 2048: often not at all. @param {number} error */
  function largestChange(error) {
    return (Math.abs(error) * 2048 + 32768) >> 16;
  }

  /**
   * Change the weights of a vector, and see how large they really are.
   *
   * @param {number} v
   * @param {number} error
   * @param {number} inputs
   */
  function learnWithClamps(v, error, inputs) {
    const w = v * VECTOR;
    let bound = 0;
    for (let j = 0; j < VECTOR; j++) {
      const change = j < inputs ? (Math.imul(INPUT[j], error) + 32768) >> 16 : 0;
      WEIGHTS[w + j] = clampWeight(WEIGHTS[w + j] + change);
      bound = Math.max(bound, Math.abs(WEIGHTS[w + j]));
    }
    BOUNDS[v] = bound;
  }

  /** @param {number} v */
  function clamp(v) {
    return v < -2047 ? -2047 : v > 2047 ? 2047 : v;
  }

  /** @param {number} v */
  function clampWeight(v) {
    return v < -LARGEST_WEIGHT ? -LARGEST_WEIGHT : v > LARGEST_WEIGHT ? LARGEST_WEIGHT : v;
  }

  /** @param {number} v */
  function clampError(v) {
    return v < -32767 ? -32767 : v > 32767 ? 32767 : v;
  }

  /** @param {number} i @param {number} j */
  function diff(i, j) {
    if (i === j) {
      return 0;
    }
    const sum =
      2 * Math.abs(PLANES[i] - PLANES[j]) +
      4 * Math.abs(PLANES[65536 + i] - PLANES[65536 + j]) +
      Math.abs(PLANES[131072 + i] - PLANES[131072 + j]) +
      4 * Math.abs(PLANES[196608 + i] - PLANES[196608 + j]);
    return sum < 7 ? 0 : sum < 70 ? 1 : 2;
  }

  /** Say which of the two kinds of neighbours a value is. @param {number} v @param {number} N @param {number} W */
  function T(v, N, W) {
    return v === N ? 0 : v === W ? 1 : 2;
  }

  /** Clamp to a channel's range. @param {number} v */
  function clampChannel(v) {
    return v < 0 ? 0 : v > 255 ? 255 : v;
  }

  /** @param {number} v a value of a channel @param {number} D */
  function lin(v, D) {
    const scaled = 16 * (v - D);
    return scaled < -1000 ? -1000 : scaled > 1000 ? 1000 : scaled;
  }

  /**
   * Decode a flag: is the pixel the guess (6.2.9)?
   *
   * @param {Uint8Array} bytes
   * @param {number} end
   * @param {number} kind 0 or 1; PLACES are those of its states
   * @param {number} guess
   * @param {number} W
   * @param {number} N
   * @param {number} texture
   * @param {number} near
   */
  function decideFlag(bytes, end, kind, guess, W, N, texture, near) {
    for (let q = 0; q < 2; q++) {
      const counter = 3 * (22 * q + LEVEL[q]) + kind;
      const chance = COUNTERS[counter];
      const g = G[q];
      COUNTER[q] = counter;
      if (g < 0) {
        INPUT[X + 1 + 2 * q] = 0;
        INPUT[X + 2 + 2 * q] = 0;
        AGREE[q] = 0;
      } else if (g === guess) {
        INPUT[X + 1 + 2 * q] = STRETCH[chance >> 4];
        INPUT[X + 2 + 2 * q] = (chance - 32768) >> 4;
        AGREE[q] = 1;
      } else {
        INPUT[X + 1 + 2 * q] = -STRETCH[chance >> 4];
        INPUT[X + 2 + 2 * q] = 0;
        AGREE[q] = 2;
      }
    }
    const v0 = 4 * (3 * (22 * kind + LEVEL[0]) + AGREE[0]);
    const v1 = 760 + 256 * kind + (guess & 255);
    const v2 = 2552 + 162 * kind + texture;
    const base = Math.imul(kind + 4, M_KIND);
    const a = (Math.imul(W, M_W) + Math.imul(N, M_N) + base) | 0;
    const b = (Math.imul(near, M_W) + base) | 0;
    INPUT[X + 5] = 0;
    const d = decide(bytes, end, kind, X + 6, v0, v1, v2, kind, a, b);
    for (let q = 0; q < 2; q++) {
      const chance = COUNTERS[COUNTER[q]];
      if (AGREE[q] === 1) {
        COUNTERS[COUNTER[q]] = chance + ((65535 * d - chance) >> 6);
      } else if (AGREE[q] === 2 && d === 1) {
        COUNTERS[COUNTER[q]] = chance + (-chance >> 6);
      }
    }
    return d;
  }

  /**
   * Go down the tree to a leaf that is neither N nor W; return its index (6.2.9, steps).
   *
   * @param {Uint8Array} bytes
   * @param {number} end
   * @param {number} colors
   * @param {Int32Array} up
   * @param {number} x into up
   * @param {number} W
   * @param {number} WW
   * @param {number} NN
   */
  function decideSteps(bytes, end, colors, up, x, W, WW, NN) {
    const N = up[x];
    const NW = up[x - 1];
    const NE = up[x + 1];
    const excludedN = LEAVES[N];
    const excludedW = colors === 2 ? excludedN : LEAVES[W];
    const leaf0 = G[0] < 0 ? 0 : LEAVES[G[0]];
    const leaf1 = G[1] < 0 ? 0 : LEAVES[G[1]];
    const leafDepth0 = 31 - Math.clz32(leaf0);
    const leafDepth1 = 31 - Math.clz32(leaf1);
    const counter0 = 3 * LEVEL[0] + 2;
    const counter1 = 3 * (22 + LEVEL[1]) + 2;
    const differences = 27 * diff(W, NW) + 9 * diff(N, NW) + 3 * diff(N, NE) + diff(W, WW);
    const bBase = Math.imul(W, M_NW);

    let n = 1;
    let group = -1;
    while (NODES[n] < 0) {
      const lower = 2 * n;
      const upper = lower + 1;
      if (isEmpty(lower, excludedN, excludedW)) {
        n = upper;
        continue;
      }
      if (isEmpty(upper, excludedN, excludedW)) {
        n = lower;
        continue;
      }
      const depth = 31 - Math.clz32(n);
      const within = depth % 3;
      const root = n >> within;
      if (root !== group) {
        group = root;
        findStepEntries((Math.imul(root, M_NODE) + 1) | 0);
      }
      const state = (1 << within) + (n & ((1 << within) - 1));
      for (let i = 0; i < 8; i++) {
        PLACES[i] = STEP_PLACES[i] + state;
      }

      const plane = CHANNELS[n] << 16;
      const D = THRESHOLDS[n];
      const vW = PLANES[plane + W];
      const vN = PLANES[plane + N];
      const vNE = PLANES[plane + NE];
      const M = (2 * vW + vN + vNE) >> 2;
      INPUT[X + 1] = lin(clampChannel(vW + vN - PLANES[plane + NW]), D);
      INPUT[X + 2] = lin(M, D);
      INPUT[X + 3] = lin(clampChannel(vW + vNE - vN), D);
      INPUT[X + 4] = lin(clampChannel(2 * vN - PLANES[plane + NN]), D);
      INPUT[X + 5] = lin(clampChannel(2 * vW - PLANES[plane + WW]), D);
      // The child on the way to the leaf of g, if the leaf is below n, else 0.
      let child0 = 0;
      let child1 = 0;
      INPUT[X + 6] = 0;
      INPUT[X + 7] = 0;
      if (leafDepth0 > depth) {
        const child = leaf0 >> (leafDepth0 - depth - 1);
        if (child >> 1 === n) {
          const chance = STRETCH[COUNTERS[counter0] >> 4];
          child0 = child;
          INPUT[X + 6] = child === upper ? chance : -chance;
        }
      }
      if (leafDepth1 > depth) {
        const child = leaf1 >> (leafDepth1 - depth - 1);
        if (child >> 1 === n) {
          const chance = STRETCH[COUNTERS[counter1] >> 4];
          child1 = child;
          INPUT[X + 7] = child === upper ? chance : -chance;
        }
      }

      const v0 = 692 + 4 * depth;
      const v1 = 1528 + Math.min(n, 1023);
      const v2 = 2909 + 81 * depth + differences;
      const distance = (Math.min(Math.max(M - D, -128), 127) + 128) >> 3;
      const node = Math.imul(n, M_W);
      const a = (node + Math.imul(distance, M_N)) | 0;
      const b = (node + bBase) | 0;
      n = lower + decide(bytes, end, 3, VECTOR, v0, v1, v2, 3 + depth, a, b);

      if (child0 !== 0) {
        COUNTERS[counter0] += ((child0 === n ? 65535 : 0) - COUNTERS[counter0]) >> 6;
      }
      if (child1 !== 0) {
        COUNTERS[counter1] += ((child1 === n ? 65535 : 0) - COUNTERS[counter1]) >> 6;
      }
    }
    return NODES[n];
  }

  /**
   * Say whether a child has no leaf that can be the pixel.
   *
   * @param {number} child
   * @param {number} one excluded leaf
   * @param {number} other excluded leaf
   */
  function isEmpty(child, one, other) {
    return child === one || child === other || (one !== other && one >> 1 === child && other >> 1 === child);
  }

  /**
   * Decide on a run from x on; return its length, or 0 if there is none (6.2.8).
   *
   * @param {Uint8Array} bytes
   * @param {number} end
   * @param {Uint8Array | Uint16Array} out
   * @param {number} outStart of the strip
   * @param {number} pixel number of the next pixel
   * @param {Int32Array} row
   * @param {Int32Array} up
   * @param {Int32Array} up2
   * @param {Uint8Array} unchanged
   * @param {number} x
   * @param {number} width
   * @returns {number} the length of the run; 0 if none was possible, -1 if the decision was that there is none
   */
  function decideRun(bytes, end, out, outStart, pixel, row, up, up2, unchanged, x, width) {
    const limit = Math.min(width - x, LONGEST_RUN);
    let length = 0;
    while (length < limit && up[PAD + x + length] === up2[PAD + x + length]) {
      length++;
    }
    if (length < limit) {
      length -= 2;
    }
    if (length < 6) {
      return 0;
    }
    const W = row[PAD + x - 1];
    let least = 255;
    let most = 0;
    let same = 1;
    for (let c = x; c < x + length; c++) {
      const count = unchanged[c];
      least = count < least ? count : least;
      most = count > most ? count : most;
      same &= up[PAD + c] === W ? 1 : 0;
    }
    const still = Math.min(least, 40);
    let left = 0;
    const farthest = Math.min(x, 32);
    while (left < farthest && row[PAD + x - 1 - left] === W) {
      left++;
    }
    const matched = LENGTH[0];
    let told = 0;
    if (matched !== 0) {
      told = 2;
      const match = MATCH[0];
      if (match + length <= pixel) {
        let agreed = 0;
        while (agreed < length && out[outStart + match + agreed] === up[PAD + x + agreed]) {
          agreed++;
        }
        told = agreed === length ? 1 : 2;
      }
    }
    const level = levelOf(matched);
    const shape = length < 8 ? 0 : length < 16 ? 1 : length < 32 ? 2 : 3;

    const base = (Math.imul(1 + 9 * shape + 3 * told + same, M_NODE) + Math.imul(2, M_BROKEN)) | 0;
    const atW = Math.imul(W, M_W);
    KEYS[0] = base + Math.imul(x >> 3, M_W);
    KEYS[1] = base + atW + Math.imul(still, M_N);
    KEYS[2] = base + Math.imul(least, M_W);
    KEYS[3] = base + Math.imul(left, M_W) + Math.imul(still, M_N);
    KEYS[4] = base + atW + Math.imul(least, M_N);
    KEYS[5] = base + Math.imul(level, M_W);
    KEYS[6] = base + Math.imul(most, M_W);
    KEYS[7] =
      base +
      Math.imul(up[PAD + x + length + 1], M_W) +
      Math.imul(up[PAD + x + length], M_N) +
      Math.imul(still, M_NW);
    findFlagEntries();
    INPUT[X + 1] = told === 0 ? 0 : told === 1 ? 32 * level : -32 * level;
    const a = (atW + Math.imul(shape, M_KIND)) | 0;
    const b = (Math.imul(still, M_W) + Math.imul(3 * shape + told, M_KIND)) | 0;
    if (decide(bytes, end, 2, X + 2, 528 + 4 * still, 1272 + (W & 255), 2876 + left, 2, a, b) === 1) {
      return -1;
    }

    for (let c = x; c < x + length; c++) {
      const index = up[PAD + c];
      row[PAD + c] = index;
      out[outStart + pixel + c - x] = index;
      if (unchanged[c] < 255) {
        unchanged[c]++;
      }
    }
    LENGTH[0] = told === 1 ? Math.min(matched + length, 65535) : 0;
    MATCH[0] += length;
    LENGTH[1] = 0;
    return length;
  }

  /**
   * Decode a pixel that is in no run; return its index (6.2.9).
   *
   * @param {Uint8Array} bytes
   * @param {number} end
   * @param {number} colors
   * @param {Uint8Array | Uint16Array} out
   * @param {number} outStart of the strip
   * @param {number} pixel number of the pixel
   * @param {Int32Array} row
   * @param {Int32Array} up
   * @param {Int32Array} up2
   * @param {number} x into the rows
   * @param {number} broken
   */
  function decidePixel(bytes, end, colors, out, outStart, pixel, row, up, up2, x, broken) {
    const W = row[x - 1];
    const WW = row[x - 2];
    const WWW = row[x - 3];
    const N = up[x];
    const NE = up[x + 1];
    const NEE = up[x + 2];
    const NEEE = up[x + 3];
    const NW = up[x - 1];
    const NWW = up[x - 2];
    const NN = up2[x];
    const NNE = up2[x + 1];
    const NNW = up2[x - 1];

    const pW = Math.imul(W, M_W);
    const pN = Math.imul(N, M_N);
    const pWW = Math.imul(WW, M_WW);
    const pNW = Math.imul(NW, M_NW);
    const pNE = Math.imul(NE, M_NE);
    const pNEE = Math.imul(NEE, M_NEE);
    const key8 = (pW + pN + pNW + pNE + pWW + Math.imul(NN, M_NN) + pNEE + Math.imul(NNE, M_NNE)) | 0;
    const key12 =
      (key8 + Math.imul(NWW, M_NWW) + Math.imul(NNW, M_NNW) + Math.imul(WWW, M_WWW) + Math.imul(NEEE, M_NEEE)) | 0;
    const key20 =
      (key12 +
        Math.imul(row[x - 4], M_W4) +
        Math.imul(row[x - 5], M_W5) +
        Math.imul(row[x - 6], M_W6) +
        Math.imul(up[x + 4], M_NE4) +
        Math.imul(up[x + 5], M_NE5) +
        Math.imul(up[x - 3], M_NWWW) +
        Math.imul(up2[x + 2], M_NNEE) +
        Math.imul(up2[x - 2], M_NNWW)) |
      0;

    const place0 = hash(key20) >>> matchShift;
    const place1 = (1 << 16) + (hash(key12) >>> matchShift);
    CANDIDATE[0] = MATCH_TABLES[place0];
    CANDIDATE[1] = MATCH_TABLES[place1];
    MATCH_TABLES[place0] = pixel;
    MATCH_TABLES[place1] = pixel;
    for (let q = 0; q < 2; q++) {
      const length = LENGTH[q];
      G[q] = length !== 0 ? out[outStart + MATCH[q]] : -1;
      LEVEL[q] = levelOf(length);
    }

    const texture =
      54 * T(NW, N, W) + 18 * T(NE, N, W) + 6 * T(WW, N, W) + 2 * T(NN, N, W) + (W === N ? 1 : 0);
    const near = 27 * texture + 9 * T(NNE, N, W) + 3 * T(NWW, N, W) + T(NEE, N, W);
    const far = 27 * near + 9 * T(WWW, N, W) + 3 * T(NNW, N, W) + T(NEEE, N, W);

    const base = broken === 1 ? M_BROKEN : 0;
    const pG0 = (Math.imul(G[0] + 1, M_NN) + Math.imul(LEVEL[0], M_NODE)) | 0;
    const pG1 = (Math.imul(G[1] + 1, M_NN) + Math.imul(LEVEL[1], M_NODE)) | 0;
    KEYS[0] = base + Math.imul(near, M_KIND);
    KEYS[1] = base + key12;
    KEYS[2] = base + key8;
    KEYS[3] = base + pN + pNE + pNEE;
    KEYS[4] = base + pW + pN + pWW;
    KEYS[5] = base + pW + pN + pG0;
    KEYS[6] = base + pN + pG1;
    KEYS[7] = base + Math.imul(far, M_KIND);
    findFlagEntries();
    if (decideFlag(bytes, end, 0, N, W, N, texture, near) === 1) {
      return N;
    }
    if (W !== N && colors !== 2) {
      for (let i = 0; i < 8; i++) {
        PLACES[i]++;
      }
      if (decideFlag(bytes, end, 1, W, W, N, texture, near) === 1) {
        return W;
      }
    }
    KEYS[0] = 0;
    KEYS[1] = key12;
    KEYS[2] = pW + pN;
    KEYS[3] = pN + pNE + pNEE;
    KEYS[4] = pW + pN + pWW;
    KEYS[5] = pW + pG0;
    KEYS[6] = pN + pG1;
    KEYS[7] = pW + pN + pNW + pNE;
    return decideSteps(bytes, end, colors, up, x, W, WW, NN);
  }

  /** @type {ContextDecoder} */
  return function decodeContext(bytes, start, end, header, palette, out, outStart, rows, place) {
    const { width, colors } = header;
    reset(width * rows);
    plant(palette, colors);
    CODER[LOW] = 0;
    CODER[HIGH] = 0xffffffff;
    CODER[WINDOW] = 0;
    for (let i = 0; i < 4; i++) {
      CODER[WINDOW] = (CODER[WINDOW] << 8) | (start + i < end ? bytes[start + i] : 0);
    }
    CODER[POSITION] = start + 4;
    INPUT[X] = 256;

    // Rows with what neighbours beyond their ends are: before the first column at(0, y - 1), behind the last one at(
    // width - 1, y), and above the strip 0.
    let row = new Int32Array(width + 2 * PAD);
    let up = new Int32Array(width + 2 * PAD);
    let up2 = new Int32Array(width + 2 * PAD);
    const unchanged = new Uint8Array(width);
    let pixel = 0;
    for (let y = 0; y < rows; y++) {
      row.fill(up[PAD], 0, PAD);
      let broken = 0;
      let x = 0;
      while (x < width) {
        const c = PAD + x;
        if (broken === 0 && y >= 2 && row[c - 1] === up[c - 1] && row[c - 2] === up[c - 2]) {
          const length = decideRun(bytes, end, out, outStart, pixel, row, up, up2, unchanged, x, width);
          if (length > 0) {
            x += length;
            pixel += length;
            continue;
          }
          if (length < 0) {
            broken = 1;
          }
        }
        const index = decidePixel(bytes, end, colors, out, outStart, pixel, row, up, up2, c, broken);
        row[c] = index;
        out[outStart + pixel] = index;
        if (index !== up[c]) {
          unchanged[x] = 0;
          broken = 0;
        } else if (unchanged[x] < 255) {
          unchanged[x]++;
        }
        for (let q = 0; q < 2; q++) {
          if (G[q] === index) {
            MATCH[q]++;
            LENGTH[q] = Math.min(LENGTH[q] + 1, 65535);
          } else {
            const candidate = CANDIDATE[q];
            MATCH[q] = candidate + 1;
            LENGTH[q] = candidate !== 0 && out[outStart + candidate] === index ? 1 : 0;
          }
        }
        x++;
        pixel++;
      }
      row.fill(row[PAD + width - 1], PAD + width);
      const free = up2;
      up2 = up;
      up = row;
      row = free;
    }

    // "The payload must have `shifts` bytes if low is 0, else one more, which must be (low >> 24) + 1."
    const shifts = CODER[POSITION] - start - 4;
    const expected = shifts + (CODER[LOW] === 0 ? 0 : 1);
    const found = end - start;
    if (found !== expected) {
      const offset = place + start + Math.min(found, expected);
      throw new KmqError(offset, "payload", `${found} bytes`, `${expected} bytes`);
    }
    if (CODER[LOW] !== 0 && bytes[end - 1] !== (CODER[LOW] >>> 24) + 1) {
      throw new KmqError(place + end - 1, "payload", bytes[end - 1], (CODER[LOW] >>> 24) + 1);
    }
  };
}

// Pixels.

/**
 * Return red, green, blue and alpha of every pixel.
 *
 * @param {Uint8Array | Uint16Array} indices
 * @param {Uint8Array} palette
 */
function toRgba(indices, palette) {
  const colors = new Uint32Array(palette.buffer, palette.byteOffset, palette.length >> 2);
  const pixels = allocate(Uint32Array, indices.length);
  if (indices instanceof Uint8Array) {
    paintNarrow(indices, colors, pixels);
  } else {
    paintWide(indices, colors, pixels);
  }
  return new Uint8ClampedArray(pixels.buffer);
}

// The same twice, so that each sees arrays of one type only, for which it is compiled.

/**
 * @param {Uint8Array} indices
 * @param {Uint32Array} colors
 * @param {Uint32Array} pixels
 */
function paintNarrow(indices, colors, pixels) {
  for (let i = 0; i < indices.length; i++) {
    pixels[i] = colors[indices[i]];
  }
}

/**
 * @param {Uint16Array} indices
 * @param {Uint32Array} colors
 * @param {Uint32Array} pixels
 */
function paintWide(indices, colors, pixels) {
  for (let i = 0; i < indices.length; i++) {
    pixels[i] = colors[indices[i]];
  }
}

/**
 * Allocate an array, or say that it is too large.
 *
 * @template {Uint8Array | Uint16Array | Uint32Array | Float64Array} T
 * @param {new (length: number) => T} type
 * @param {number} length
 * @returns {T}
 */
function allocate(type, length) {
  try {
    return new type(length);
  } catch {
    throw new LimitError(`there is no memory for ${length} elements of ${type.name}`);
  }
}

// Whole files.

/**
 * Check all of a file but its strips (7, steps 1 to 6).
 *
 * @param {Uint8Array} bytes
 * @param {number} maxPixels
 */
function openFile(bytes, maxPixels) {
  const header = readHeader(bytes);
  checkLimit(header, header.width * header.height, maxPixels);
  const layout = computeLayout(header);
  const size = bytes.length;
  checkSize(header, layout, size);
  const palette = readPalette(header, bytes);
  const sections = readSections(bytes, layout.sectionsOffset, header.sectionsBytes);
  return { header, palette, sections, offsets: locateStrips(header, layout, bytes, size, 0, header.strips) };
}

/**
 * Compare the size of a file, if it is known, with what the header gives; with context coding, that is the least size.
 *
 * @param {import("./kmq.js").Header} header
 * @param {ReturnType<typeof computeLayout>} layout
 * @param {number | undefined} size
 */
function checkSize(header, { fileBytes }, size) {
  const isContext = header.coding === "context";
  if (size !== undefined && size < fileBytes) {
    throw tooShort(size, fileBytes, isContext);
  }
  if (size !== undefined && size > fileBytes && !isContext) {
    throw new KmqError(fileBytes, "file", `${size} bytes`, `${fileBytes} bytes`);
  }
}

/**
 * Return where the strips from `first` to `next` lie: the offset of each and, behind them, where the last one ends.
 * With context coding, check their table before. (Numbers, and no objects: a file may have a strip for every four of
 * its bytes.)
 *
 * @param {import("./kmq.js").Header} header
 * @param {ReturnType<typeof computeLayout>} layout
 * @param {Uint8Array} bytes of the file, as far as to the strips
 * @param {number | undefined} size of the file; where it is not known, the last strip of all ends at Infinity
 * @param {number} first
 * @param {number} next
 */
function locateStrips(header, layout, bytes, size, first, next) {
  const { tableOffset, tableBytes, stripsOffset, stripBytes, fileBytes } = layout;
  const offsets = allocate(Float64Array, next - first + 1);
  if (header.coding === "packed") {
    for (let n = first; n <= next; n++) {
      offsets[n - first] = n < header.strips ? stripsOffset + n * stripBytes : fileBytes;
    }
    return offsets;
  }
  if (tableBytes > 0) {
    checkCrc(bytes, tableOffset, tableOffset + tableBytes - CRC_BYTES, "table_crc");
  }
  let offset = stripsOffset;
  for (let n = 0; n < header.strips; n++) {
    if (n >= first && n <= next) {
      offsets[n - first] = offset;
    }
    // Of the last strip, "its payload has what is left of the file".
    offset += (n < header.strips - 1 ? readU32(bytes, tableOffset + 4 * n) : 0) + CRC_BYTES;
  }
  if (size !== undefined && size < offset) {
    throw tooShort(size, offset, true);
  }
  if (next === header.strips) {
    offsets[next - first] = size ?? Infinity;
  }
  return offsets;
}

/**
 * Return how many rows the strips from `first` to `next` have.
 *
 * @param {import("./kmq.js").Header} header
 * @param {number} first
 * @param {number} next
 */
function countRows({ height, stripRows }, first, next) {
  return Math.min(next * stripRows, height) - first * stripRows;
}

/**
 * Check and decode strips that lie one behind the other.
 *
 * @param {Uint8Array} bytes those of the strips
 * @param {Float64Array} offsets of the strips in the file, and of the end of the last
 * @param {number} first number of the first of them, 0 for the topmost
 * @param {import("./kmq.js").Header} header
 * @param {Uint8Array} palette
 * @returns {Uint8Array | Uint16Array} their indices
 */
function decodeStrips(bytes, offsets, first, header, palette) {
  const { width } = header;
  const place = offsets[0];
  const next = first + offsets.length - 1;
  const indices = newIndices(countRows(header, first, next) * width, header.colors);
  const number = new Uint8Array(4);
  for (let n = first, outStart = 0; n < next; n++) {
    const start = offsets[n - first] - place;
    const end = offsets[n - first + 1] - place - CRC_BYTES;
    const rows = countRows(header, n, n + 1);
    number.set([n, n >>> 8, n >>> 16, n >>> 24]);
    checkCrc(bytes, start, end, "strip_crc", updateCrc(-1, number, 0, 4), place);
    if (header.coding === "packed") {
      decodePacked(bytes, start, end, header, indices, outStart, rows * width, place);
    } else {
      contextDecoder ??= createContextDecoder();
      contextDecoder(bytes, start, end, header, palette, indices, outStart, rows, place);
    }
    outStart += rows * width;
  }
  return indices;
}

/**
 * @param {number} length
 * @param {number} colors
 */
function newIndices(length, colors) {
  return colors > 256 ? allocate(Uint16Array, length) : allocate(Uint8Array, length);
}

/** What is in a file. Metadata and pixels are made when they are asked for. */
class DecodedImage {
  #indices;
  #palette;
  #sections;
  /** @type {Uint8ClampedArray<ArrayBuffer> | undefined} */
  #rgba;
  /** @type {import("./kmq.js").Metadata | undefined} */
  #metadata;

  /**
   * @param {number} width
   * @param {number} height
   * @param {import("./kmq.js").Header} header
   * @param {Uint8Array} palette
   * @param {Uint8Array | Uint16Array} indices
   * @param {readonly import("./kmq.js").Section[]} sections
   * @param {Uint8ClampedArray<ArrayBuffer>} [rgba]
   */
  constructor(width, height, header, palette, indices, sections, rgba) {
    this.width = width;
    this.height = height;
    this.header = header;
    this.#palette = palette;
    this.#indices = indices;
    this.#sections = sections;
    this.#rgba = rgba;
  }

  get palette() {
    return this.#palette;
  }

  get indices() {
    return this.#indices;
  }

  get sections() {
    return this.#sections;
  }

  get hasAlpha() {
    return this.header.hasAlpha;
  }

  get rgba() {
    this.#rgba ??= toRgba(this.#indices, this.#palette);
    return this.#rgba;
  }

  get metadata() {
    this.#metadata ??= readMetadata(this.#sections);
    return this.#metadata;
  }
}

/** @type {typeof import("./kmq.js").decode} */
export function decode(data, { maxPixels = DEFAULT_MAX_PIXELS, signal } = {}) {
  signal?.throwIfAborted();
  const bytes = toBytes(data);
  const { header, palette, sections, offsets } = openFile(bytes, maxPixels);
  const indices = decodeStrips(bytes.subarray(offsets[0]), offsets, 0, header, palette);
  return new DecodedImage(header.width, header.height, header, palette, indices, sections);
}

// Workers.

/**
 * @typedef {object} Task strips one below the other, and what is needed to decode them
 * @property {import("./kmq.js").Header} header
 * @property {Uint8Array} palette
 * @property {Float64Array} offsets of the strips in the file, and of the end of the last
 * @property {number} first number of the first of them
 * @property {Uint8Array} bytes of the strips
 * @property {boolean} rgba whether pixels are wanted, too
 *
 * @typedef {object} Share
 * @property {Uint8Array | Uint16Array} indices
 * @property {Uint8ClampedArray<ArrayBuffer>} [rgba]
 *
 * @typedef {object} Job a task that somebody waits for
 * @property {Task} task
 * @property {Worker} [worker] that is at it
 * @property {Promise<Share>} promise
 * @property {(share: Share) => void} resolve
 * @property {(reason: unknown) => void} reject
 */

/**
 * Decode some strips. Exported for worker.js only.
 *
 * @param {Task} task
 * @returns {Share}
 */
export function decodeTask({ header, palette, offsets, first, bytes, rgba }) {
  const indices = decodeStrips(bytes, offsets, first, header, palette);
  return rgba ? { indices, rgba: toRgba(indices, palette) } : { indices };
}

// Work that takes less than the way to a worker and back, in pixels.
const SMALL_PACKED = 2 ** 16;
const SMALL_CONTEXT = 2 ** 11;
const LEAST_SHARE = 2 ** 15;
const MOST_WORKERS = 8;
const IDLE_MS = 10_000;

/** @type {Job[]} */
const waiting = [];
/** @type {{worker: Worker, timer: ReturnType<typeof setTimeout>}[]} */
const idle = [];
let workers = 0;
let canWork = typeof Worker === "function";
let isWorkingHere = false;

/** @param {number} count */
function workersFor(count) {
  return Math.min(count, globalThis.navigator?.hardwareConcurrency ?? 2, MOST_WORKERS);
}

/** Make a worker, also of a module from another origin, which only a module of the page's own may import. */
function makeWorker() {
  try {
    // In these words, by which bundlers find the module...
    return new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  } catch {
    // ...and in others, lest they write it a second time, as it is.
    const here = import.meta.url;
    const module = new URL("./worker.js", here);
    const source = `import ${JSON.stringify(module.href)};`;
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const worker = new Worker(url, { type: "module" });
    worker.addEventListener("message", () => URL.revokeObjectURL(url), { once: true });
    return worker;
  }
}

/** Start a worker, which takes what waits as soon as it has answered once. */
function startWorker() {
  workers++;
  const giveUp = () => {
    // Workers are forbidden here, or the module was not found: this thread does the work.
    workers--;
    canWork = false;
    workHere();
  };
  try {
    const worker = makeWorker();
    worker.onmessage = () => {
      worker.onerror = null;
      takeWork(worker);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      worker.terminate();
      giveUp();
    };
  } catch {
    giveUp();
  }
}

/** Do on this thread what waits. */
async function workHere() {
  if (isWorkingHere) {
    return;
  }
  isWorkingHere = true;
  while (waiting.length > 0) {
    // Others come in between.
    await new Promise((resolve) => setTimeout(resolve));
    const job = waiting.shift();
    try {
      job?.resolve(decodeTask(job.task));
    } catch (error) {
      job?.reject(error);
    }
  }
  isWorkingHere = false;
}

/** @param {Worker} worker */
function endWorker(worker) {
  worker.terminate();
  workers--;
  if (waiting.length > 0) {
    startWorker();
  }
}

/** Give a worker what waits the longest. @param {Worker} worker */
function takeWork(worker) {
  const job = waiting.shift();
  if (job === undefined) {
    const timer = setTimeout(() => {
      idle.splice(idle.findIndex((entry) => entry.worker === worker), 1);
      endWorker(worker);
    }, IDLE_MS);
    idle.push({ worker, timer });
    return;
  }
  job.worker = worker;
  const onFailure = (/** @type {Event} */ event) => {
    event.preventDefault();
    endJob(job, new LimitError("a worker ended: there may be too little memory"));
  };
  worker.onerror = onFailure;
  worker.onmessageerror = onFailure;
  worker.onmessage = ({ data }) => {
    job.worker = undefined;
    if (data.error === undefined) {
      job.resolve(data);
    } else {
      job.reject(toError(data.error));
    }
    takeWork(worker);
  };
  worker.postMessage(job.task, [/** @type {ArrayBuffer} */ (job.task.bytes.buffer)]);
}

/**
 * Make anew the error that a worker tells of.
 *
 * @param {{name: string, message: string, offset: number, field: string, found: string, expected: string}} told
 */
function toError({ name, message, offset, field, found, expected }) {
  if (name === "KmqError") {
    return new KmqError(offset, field, found, expected);
  }
  return name === "LimitError" ? new LimitError(message) : new Error(`${name} in a worker: ${message}`);
}

/**
 * Decode some strips in a worker or, where there are none, here, but not at once.
 *
 * @param {Task} task of which the bytes are given away
 */
function beginJob(task) {
  const job = /** @type {Job} */ ({ task });
  job.promise = new Promise((resolve, reject) => Object.assign(job, { resolve, reject }));
  job.promise.catch(() => undefined); // It may be waited for after others.
  waiting.push(job);
  const free = idle.pop();
  if (free !== undefined) {
    clearTimeout(free.timer);
    takeWork(free.worker);
  } else if (!canWork) {
    workHere();
  } else if (workers < workersFor(MOST_WORKERS)) {
    startWorker();
  }
  return job;
}

/**
 * End a job, unless it is done.
 *
 * @param {Job} job
 * @param {unknown} reason
 */
function endJob(job, reason) {
  job.reject(reason);
  if (waiting.includes(job)) {
    waiting.splice(waiting.indexOf(job), 1);
  }
  if (job.worker !== undefined) {
    // There is no other way to end what it is at.
    endWorker(job.worker);
    job.worker = undefined;
  }
}

/**
 * Do work with a signal that aborts with another one, and when the work fails: then what is left of it ends, too.
 *
 * @template T
 * @param {AbortSignal | undefined} signal
 * @param {(signal: AbortSignal) => Promise<T>} work
 */
async function endTogether(signal, work) {
  signal?.throwIfAborted();
  const stop = new AbortController();
  const onAbort = () => stop.abort(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    return await work(stop.signal);
  } catch (error) {
    stop.abort(error);
    throw error;
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}

/**
 * Decode strips that lie one behind the other, side by side in workers unless they are small.
 *
 * @param {Task} task of which the bytes are copied
 * @param {AbortSignal} signal
 * @returns {Promise<Share>}
 */
async function decodeSideBySide(task, signal) {
  const { header, palette, offsets, first, bytes, rgba } = task;
  const strips = offsets.length - 1;
  const pixels = countRows(header, first, first + strips) * header.width;
  if (header.coding === "packed" ? pixels < SMALL_PACKED : pixels + 256 * strips < SMALL_CONTEXT) {
    return decodeTask({ ...task, rgba: false });
  }
  const pixelsEach = Math.max(pixels / workersFor(strips), LEAST_SHARE);
  const stripsEach = Math.max(1, Math.floor((1.01 * pixelsEach) / (header.stripRows * header.width)));
  /** @type {Job[]} */
  const jobs = [];
  signal.addEventListener("abort", () => jobs.forEach((job) => endJob(job, signal.reason)), { once: true });
  for (let begin = 0; begin < strips; begin += stripsEach) {
    const end = Math.min(begin + stripsEach, strips);
    const part = bytes.slice(offsets[begin] - offsets[0], offsets[end] - offsets[0]);
    const some = { header, palette, offsets: offsets.slice(begin, end + 1), first: first + begin, bytes: part, rgba };
    jobs.push(beginJob(some));
  }
  if (jobs.length === 1) {
    return jobs[0].promise;
  }
  const indices = newIndices(pixels, header.colors);
  const all = rgba ? new Uint8ClampedArray(allocate(Uint32Array, pixels).buffer) : undefined;
  let start = 0;
  // In the order of the file, so that of several faults the first is told of.
  for (const { promise } of jobs) {
    const share = await promise;
    indices.set(share.indices, start);
    if (all !== undefined && share.rgba !== undefined) {
      all.set(share.rgba, 4 * start);
    }
    start += share.indices.length;
  }
  return { indices, rgba: all };
}

/** @type {typeof import("./kmq.js").decodeAsync} */
export async function decodeAsync(data, { maxPixels = DEFAULT_MAX_PIXELS, signal, rgba = false } = {}) {
  return endTogether(signal, async (stop) => {
    const file = toBytes(data);
    const { header, palette, sections, offsets } = openFile(file, maxPixels);
    const bytes = file.subarray(offsets[0]);
    const share = await decodeSideBySide({ header, palette, offsets, first: 0, bytes, rgba }, stop);
    return new DecodedImage(header.width, header.height, header, palette, share.indices, sections, share.rgba);
  });
}

// Regions by HTTP Range.

// The header and a palette of 256 colours with alpha.
const FIRST_BYTES = HEADER_BYTES + 4 * 256 + CRC_BYTES;
// What is fetched and not used rather than asked for in a request of its own.
const LARGEST_GAP = 8192;
const MOST_REQUESTS = 48;
// More rows than these bytes have are asked for piece by piece.
const LARGEST_REQUEST = 2 ** 24;
const REQUESTS_AT_ONCE = 6;

/** A file on a server. */
class RemoteFile {
  #url;
  #fetch;
  #signal;
  /**
   * What says that the file is still the same; of one from another origin, not all of it is to be seen.
   *
   * @type {Map<string, string>}
   */
  #identity = new Map();
  /** @type {Promise<Uint8Array> | undefined} */
  #whole;
  /** @type {number | undefined} */
  size;

  /**
   * @param {string | URL} url
   * @param {typeof globalThis.fetch} fetch
   * @param {AbortSignal} signal
   */
  constructor(url, fetch, signal) {
    this.#url = url;
    this.#fetch = fetch;
    this.#signal = signal;
  }

  /**
   * Ask for bytes, without those at `end`, which may be Infinity.
   *
   * @param {number} start
   * @param {number} end
   * @returns {Promise<{bytes: Uint8Array, isWhole: boolean}>} fewer bytes where the file ends, or the whole file
   */
  async read(start, end) {
    if (this.#whole !== undefined) {
      return { bytes: await this.#whole, isWhole: true };
    }
    const response = await this.#ask({ Range: `bytes=${start}-${end === Infinity ? "" : end - 1}` });
    if (response.status === 416) {
      return { bytes: new Uint8Array(0), isWhole: false };
    }
    if (response.status !== 206) {
      return { bytes: await this.#takeWhole(response), isWhole: true };
    }
    if ((response.headers.get("Content-Encoding") ?? "identity") !== "identity") {
      // A range of the encoded bytes, which are of no use.
      await response.body?.cancel();
      return { bytes: await this.#takeWhole(await this.#ask({})), isWhole: true };
    }
    // Hidden from pages of other origins, unless the server exposes it.
    const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get("Content-Range") ?? "");
    if (range !== null) {
      const [, from, size] = range;
      if (Number(from) !== start) {
        throw new Error(`${this.#url}: bytes from ${from} on instead of ${start}`);
      }
      if (size !== "*") {
        this.#identify("size", size);
        this.size = Number(size);
      }
    }
    return { bytes: new Uint8Array(await response.arrayBuffer()).subarray(0, end - start), isWhole: false };
  }

  /**
   * Return just these bytes, to the end of the file if `end` is Infinity; say where it ends if they are not all there.
   *
   * @param {number} start
   * @param {number} end
   */
  async readExactly(start, end) {
    const { bytes, isWhole } = await this.read(start, end);
    const found = isWhole ? bytes.subarray(start, end) : bytes;
    if (found.length < end - start && end !== Infinity) {
      if (this.size !== undefined && this.size > start + found.length) {
        throw new Error(`${this.#url}: ${found.length} bytes from ${start} on instead of ${end - start}`);
      }
      throw tooShort(start + found.length, end, true);
    }
    return found;
  }

  /** @param {Record<string, string>} headers */
  async #ask(headers) {
    const response = await this.#fetch(this.#url, { headers, signal: this.#signal });
    if (!response.ok && response.status !== 416) {
      await response.body?.cancel();
      throw new Error(`${this.#url}: HTTP status ${response.status}`);
    }
    for (const name of response.ok ? ["ETag", "Last-Modified"] : []) {
      this.#identify(name, response.headers.get(name));
    }
    return response;
  }

  /** Keep the file, lest it be sent again for each range. @param {Response} response */
  #takeWhole(response) {
    if (this.#whole === undefined) {
      this.#whole = response.arrayBuffer().then((buffer) => {
        this.#identify("size", String(buffer.byteLength));
        return new Uint8Array(buffer);
      });
    } else {
      response.body?.cancel();
    }
    return this.#whole;
  }

  /** @param {string} name @param {string | null} value */
  #identify(name, value) {
    if (value === null) {
      return;
    }
    if (value !== (this.#identity.get(name) ?? value)) {
      throw new Error(`${this.#url} changed while it was read`);
    }
    this.#identity.set(name, value);
  }
}

/**
 * Cut a region out of rows.
 *
 * @param {Uint8Array | Uint16Array} indices
 * @param {number} stride pixels a row
 * @param {import("./kmq.js").Region} region
 * @param {number} colors
 */
function crop(indices, stride, { x, y, width, height }, colors) {
  const out = newIndices(width * height, colors);
  for (let row = 0; row < height; row++) {
    const start = (y + row) * stride + x;
    out.set(indices.subarray(start, start + width), row * width);
  }
  return out;
}

/**
 * @param {import("./kmq.js").Region} region
 * @param {import("./kmq.js").Header} header
 */
function checkRegion(region, header) {
  const { x, y, width, height } = region;
  for (const [name, value, least] of /** @type {[string, number, number][]} */ ([
    ["x", x, 0],
    ["y", y, 0],
    ["width", width, 1],
    ["height", height, 1],
  ])) {
    if (!Number.isSafeInteger(value) || value < least) {
      throw new RangeError(`${name} must be an integer of at least ${least}, not ${value}`);
    }
  }
  if (x + width > header.width || y + height > header.height) {
    throw new RangeError(
      `the region ${width} x ${height} at ${x}, ${y} reaches beyond the picture of ${header.width} x ${header.height}`,
    );
  }
}

/** @type {typeof import("./kmq.js").fetchRegion} */
export async function fetchRegion(
  url,
  region,
  { maxPixels = DEFAULT_MAX_PIXELS, signal, verify = false, fetch = globalThis.fetch.bind(globalThis) } = {},
) {
  return endTogether(signal, async (stop) => {
    const file = new RemoteFile(url, fetch, stop);
    const { bytes, isWhole } = await file.read(0, FIRST_BYTES);
    if (isWhole) {
      file.size = bytes.length;
    }
    const header = readHeader(bytes);
    checkRegion(region, header);
    checkLimit(header, region.width * region.height, maxPixels);
    const layout = computeLayout(header);
    checkSize(header, layout, file.size);
    // With the sections, for one that is required and not known says that the indices are not what they seem.
    const start = await extend(file, bytes, layout.stripsOffset);
    const palette = readPalette(header, start);
    const sections = readSections(start, layout.sectionsOffset, header.sectionsBytes);
    const indices =
      verify || isWhole || header.coding === "context"
        ? await fetchStrips(file, header, layout, start, palette, region, maxPixels, stop)
        : await fetchRows(file, header, layout, region);
    return new DecodedImage(region.width, region.height, header, palette, indices, sections);
  });
}

/**
 * Return the beginning of a file, of which some is there already.
 *
 * @param {RemoteFile} file
 * @param {Uint8Array} bytes
 * @param {number} end
 */
async function extend(file, bytes, end) {
  if (bytes.length >= end) {
    return bytes;
  }
  const rest = await file.readExactly(bytes.length, end);
  const joined = allocate(Uint8Array, end);
  joined.set(bytes);
  joined.set(rest, bytes.length);
  return joined;
}

/**
 * Fetch the bytes of a region's rows, as many rows with one request as lie near enough to each other.
 *
 * @param {RemoteFile} file
 * @param {import("./kmq.js").Header} header
 * @param {ReturnType<typeof computeLayout>} layout
 * @param {import("./kmq.js").Region} region
 */
async function fetchRows(file, header, layout, { x, y, width, height }) {
  const { indexBits, stripRows } = header;
  const indices = newIndices(width * height, header.colors);
  if (indexBits === 0) {
    return indices;
  }
  /**
   * Return where the index of a pixel begins: a byte of the file, and a bit of that.
   *
   * @param {number} row
   * @param {number} column
   */
  const locate = (row, column) => {
    const strip = Math.floor(row / stripRows);
    const bits = ((row % stripRows) * header.width + column) * indexBits;
    const bit = bits % 8;
    return { byte: layout.stripsOffset + strip * layout.stripBytes + (bits - bit) / 8, bit };
  };
  /** @param {number} row */
  const endOf = (row) => {
    const last = locate(row, x + width - 1);
    return last.byte + Math.ceil((last.bit + indexBits) / 8);
  };
  const gap = ((header.width - width) * indexBits) / 8;
  const rowsAtOnce = Math.min(
    gap <= LARGEST_GAP ? height : Math.ceil(height / MOST_REQUESTS),
    Math.ceil(LARGEST_REQUEST / ((header.width * indexBits) / 8)),
  );
  /** @param {number} first row of the region */
  const fetchSome = async (first) => {
    const next = Math.min(first + rowsAtOnce, height);
    const place = locate(y + first, x).byte;
    const bytes = await file.readExactly(place, endOf(y + next - 1));
    for (let row = first; row < next; row++) {
      const { byte, bit } = locate(y + row, x);
      unpackIndices(bytes, (byte - place) * 8 + bit, header, indices, row * width, width, place);
    }
  };
  let row = 0;
  const fetchMore = async () => {
    while (row < height) {
      const first = row;
      row += rowsAtOnce;
      await fetchSome(first);
    }
  };
  await Promise.all(Array.from({ length: REQUESTS_AT_ONCE }, fetchMore));
  return indices;
}

/**
 * Fetch the strips in which a region lies, and check them.
 *
 * @param {RemoteFile} file
 * @param {import("./kmq.js").Header} header
 * @param {ReturnType<typeof computeLayout>} layout
 * @param {Uint8Array} beginning of the file, as far as to the strips
 * @param {Uint8Array} palette
 * @param {import("./kmq.js").Region} region
 * @param {number} maxPixels
 * @param {AbortSignal} signal
 */
async function fetchStrips(file, header, layout, beginning, palette, region, maxPixels, signal) {
  const first = Math.floor(region.y / header.stripRows);
  const next = Math.floor((region.y + region.height - 1) / header.stripRows) + 1;
  checkLimit(header, countRows(header, first, next) * header.width, maxPixels);
  const offsets = locateStrips(header, layout, beginning, file.size, first, next);
  const end = offsets[next - first];
  const bytes = await file.readExactly(offsets[0], end);
  if (end === Infinity) {
    offsets[next - first] = offsets[0] + bytes.length;
    if (offsets[next - first] < offsets[next - first - 1] + CRC_BYTES) {
      throw tooShort(offsets[next - first], offsets[next - first - 1] + CRC_BYTES, true);
    }
  }
  const { indices } = await decodeSideBySide({ header, palette, offsets, first, bytes, rgba: false }, signal);
  return crop(indices, header.width, { ...region, y: region.y - first * header.stripRows }, header.colors);
}
