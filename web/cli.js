#!/usr/bin/env node
/** Decode a .kmq file to a PNG, or show what is in it: what spec/conformance.py runs. */

import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { argv, exit, stderr, stdout } from "node:process";
import { deflateSync } from "node:zlib";
import { decode, KmqError, LimitError, readMetadata } from "./kmq.js";

const USAGE = "usage: cli.js IN.kmq OUT.png | --info IN.kmq...";

/**
 * Return a CRC-32. That of node:zlib is missing from older versions.
 *
 * @param {Uint8Array} bytes
 */
function crc32(bytes) {
  let state = -1;
  for (const byte of bytes) {
    state ^= byte;
    for (let bit = 0; bit < 8; bit++) {
      state = state & 1 ? (state >>> 1) ^ 0xedb88320 : state >>> 1;
    }
  }
  return ~state >>> 0;
}

/**
 * @param {string} type
 * @param {Uint8Array} data
 */
function chunk(type, data) {
  const bytes = Buffer.alloc(12 + data.length);
  bytes.writeUInt32BE(data.length, 0);
  bytes.write(type, 4, "latin1");
  bytes.set(data, 8);
  bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + data.length)), 8 + data.length);
  return bytes;
}

/**
 * Return a PNG of 8 bits, with alpha if the picture has it.
 *
 * @param {import("./kmq.js").Image} image
 */
function encodePng({ width, height, hasAlpha, rgba }) {
  const channels = hasAlpha ? 4 : 3;
  const rows = Buffer.alloc(height * (1 + width * channels));
  let place = 0;
  for (let y = 0; y < height; y++) {
    place++; // the filter of the row, 0
    for (let i = 4 * y * width; i < 4 * (y + 1) * width; i += 4) {
      for (let channel = 0; channel < channels; channel++) {
        rows[place++] = rgba[i + channel];
      }
    }
  }
  const header = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 8, hasAlpha ? 6 : 2, 0, 0, 0]);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const data = deflateSync(rows, { level: 1 });
  return Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", data), chunk("IEND", Buffer.alloc(0))]);
}

/**
 * Return JSON of what is in a file.
 *
 * @param {import("./kmq.js").Image} image
 */
function describe({ header, sections }) {
  // What a section says counts only for those that metadata is taken from: each is looked at by itself, unless one of
  // its type came before.
  const seen = new Set();
  const described = sections.map(({ type, payload }) => {
    const sha256 = createHash("sha256").update(payload).digest("hex");
    const metadata = seen.has(type) ? readMetadata([]) : readMetadata([{ type, payload }]);
    if (type !== "text") {
      seen.add(type);
    }
    const members = [`"type": ${JSON.stringify(type)}, "bytes": ${payload.length}, "sha256": "${sha256}"`];
    const text = metadata.texts[0];
    if (text !== undefined) {
      const { keyword, language, translatedKeyword: translated_keyword, text: said } = text;
      members.push(JSON.stringify({ keyword, language, translated_keyword, text: said }).slice(1, -1));
    }
    if (metadata.density !== undefined) {
      const { x, y, unit } = metadata.density;
      members.push(JSON.stringify({ x, y, unit: unit === "metre" ? 1 : 0 }).slice(1, -1));
    }
    if (metadata.recipe !== undefined) {
      // As it stands in the file, where numbers have all their digits.
      members.push(`"recipe": ${new TextDecoder().decode(payload)}`);
    }
    return `{${members.join(", ")}}`;
  });
  const { colors, indexBits: index_bits, hasAlpha: alpha, stripRows: strip_rows, strips } = header;
  const { width, height, coding } = header;
  const all = { width, height, colors, index_bits, coding, alpha, strip_rows, strips };
  return `{${JSON.stringify(all).slice(1, -1)}, "sections": [${described.join(", ")}]}`;
}

const [first, second, ...others] = argv.slice(2);
if (first === undefined || second === undefined || (first !== "--info" && others.length > 0)) {
  stderr.write(`${USAGE}\n`);
  exit(2);
}
try {
  if (first === "--info") {
    for (const path of [second, ...others]) {
      // A line for each: line ends in a recipe stand between its members only, where they mean nothing.
      stdout.write(`${describe(decode(readFileSync(path))).replace(/[\r\n]+/g, " ")}\n`);
    }
  } else {
    writeFileSync(second, encodePng(decode(readFileSync(first))));
  }
} catch (error) {
  // What the system says of files has a code.
  const isOfFiles = error instanceof Error && "code" in error;
  if (!(error instanceof KmqError || error instanceof LimitError || isOfFiles)) {
    throw error;
  }
  stderr.write(`${error.message}\n`);
  exit(1);
}
