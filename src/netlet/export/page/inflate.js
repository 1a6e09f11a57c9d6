// Decompression: base 85, and inflate (RFC 1951), for the net's weights and for PNG files.

const BASE85 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;,=>?@^_`{|}~";

/** Weights as page_weights.py writes them; little-endian, as every machine that runs a browser is. */
function decodeWeights(text) {
  const bytes = inflate(decodeBase85(text.trim())), number = bytes.length / 4, ordered = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) ordered[4 * (i % number) + Math.floor(i / number)] = bytes[i];
  return new Float32Array(ordered.buffer);
}

/** Five characters are four bytes, big-endian; a shorter end is filled up with the last digit and cut. */
function decodeBase85(text) {
  const groups = Math.ceil(text.length / 5), view = new DataView(new ArrayBuffer(4 * groups));
  for (let group = 0; group < groups; group++) {
    let value = 0;
    for (let i = 5 * group; i < 5 * group + 5; i++) value = 85 * value + BASE85.indexOf(text[i] ?? "~");
    view.setUint32(4 * group, value);
  }
  return new Uint8Array(view.buffer, 0, 4 * groups - (5 * groups - text.length));
}

// Of codes 257 and up, and of distances: the smallest, and how many further bits each has.
const LENGTHS = steps(3, 28, (i) => (i < 8 ? 0 : (i >> 2) - 1)), DISTANCES = steps(1, 30, (i) => (i < 4 ? 0 : (i >> 1) - 1));
LENGTHS.push([258, 0]);
const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

function steps(first, number, extra) {
  return Array.from({ length: number }, (_, i) => {
    const step = [first, extra(i)];
    first += 1 << extra(i);
    return step;
  });
}

/** A stream of bits, the lowest of a byte first, with the codes of inflate. */
class Bits {
  #bits = 0;
  #count = 0;

  constructor(bytes) { Object.assign(this, { bytes, at: 0 }); }

  #need(count) {
    for (; this.#count < count; this.#count += 8) this.#bits |= (this.bytes[this.at++] ?? 0) << this.#count;
    if (this.at > this.bytes.length + 4) throw new Error("its data are cut off");
  }

  #drop(count) {
    this.#bits >>>= count;
    this.#count -= count;
  }

  take(count) {
    this.#need(count);
    const value = this.#bits & ((1 << count) - 1);
    this.#drop(count);
    return value;
  }

  symbol({ table, longest }) {
    this.#need(longest);
    const entry = table[this.#bits & ((1 << longest) - 1)];
    if (!entry) throw new Error("its data are damaged");
    this.#drop(entry & 15);
    return entry >> 4;
  }

  /** A step of LENGTHS or DISTANCES with its further bits. */
  step([first, extra] = []) {
    if (!first) throw new Error("its data are damaged");
    return first + this.take(extra);
  }

  /** The bytes of a block that is stored as it is. */
  stored() {
    this.at -= this.#count >> 3;
    this.#bits = this.#count = 0;
    const length = this.take(16);
    this.take(16); // the same, inverted
    this.at += length;
    if (this.at > this.bytes.length) throw new Error("its data are cut off");
    return this.bytes.subarray(this.at - length, this.at);
  }
}

/** For the lengths of codes: each code, with the bits behind it, leads to its symbol and its length. */
function codes(lengths) {
  const longest = lengths.reduce((a, b) => Math.max(a, b), 0), table = new Int32Array(1 << longest);
  for (let length = 1, code = 0; length <= longest; length++, code <<= 1) {
    for (let symbol = 0; symbol < lengths.length; symbol++) {
      if (lengths[symbol] !== length) continue;
      let reversed = 0;
      for (let i = 0; i < length; i++) reversed |= ((code >> i) & 1) << (length - 1 - i);
      for (let i = reversed; i < table.length; i += 1 << length) table[i] = (symbol << 4) | length;
      code++;
    }
  }
  return { table, longest };
}

function fixedCodes() {
  const lengths = Array.from({ length: 288 }, (_, i) => (i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8));
  return [codes(lengths), codes(new Array(30).fill(5))];
}

function sentCodes(bits) {
  const literals = bits.take(5) + 257, distances = bits.take(5) + 1, own = new Array(19).fill(0);
  for (let i = 0, sent = bits.take(4) + 4; i < sent; i++) own[ORDER[i]] = bits.take(3);
  const lengthCodes = codes(own), lengths = [];
  while (lengths.length < literals + distances) {
    const symbol = bits.symbol(lengthCodes);
    if (symbol < 16) lengths.push(symbol);
    else {
      const [number, last] = symbol === 16 ? [3 + bits.take(2), lengths.at(-1)]
        : [symbol === 17 ? 3 + bits.take(3) : 11 + bits.take(7), 0];
      for (let i = 0; i < number; i++) lengths.push(last);
    }
  }
  return [codes(lengths.slice(0, literals)), codes(lengths.slice(literals))];
}

/** @throws if the data are damaged, or longer than `limit` bytes */
function inflate(bytes, limit = 2 ** 31) {
  const bits = new Bits(bytes);
  let out = new Uint8Array(4 * bytes.length + 512), size = 0;
  const reserve = (more) => {
    if (size + more > limit) throw new Error("its data are longer than announced");
    if (size + more <= out.length) return;
    const larger = new Uint8Array(2 * (size + more));
    larger.set(out);
    out = larger;
  };
  for (let last = 0; !last;) {
    last = bits.take(1);
    const type = bits.take(2);
    if (type === 3) throw new Error("its data are damaged");
    if (type === 0) {
      const content = bits.stored();
      reserve(content.length);
      out.set(content, size);
      size += content.length;
      continue;
    }
    const [literals, distances] = type === 1 ? fixedCodes() : sentCodes(bits);
    for (let symbol = bits.symbol(literals); symbol !== 256; symbol = bits.symbol(literals)) {
      reserve(258);
      if (symbol < 256) {
        out[size++] = symbol;
        continue;
      }
      const length = bits.step(LENGTHS[symbol - 257]), distance = bits.step(DISTANCES[bits.symbol(distances)]);
      if (distance > size) throw new Error("its data are damaged");
      for (const end = size + length; size < end; size++) out[size] = out[size - distance];
    }
  }
  return out.subarray(0, size);
}
