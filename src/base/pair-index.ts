// Numbers pairs of 32-bit numbers (both halves of an address, file and line) in the order in which they come: a hash table
// with open addressing in typed arrays, where a JS Map would need an object or a text for each key.

/** Multipliers of MurmurHash3. Keys come from a target: whoever makes them collide only makes this slow. */
const MIX_A = 0x85ebca6b;
const MIX_B = 0xc2b2ae35;
const EMPTY = 0;

export class PairIndex {
  /** Pairs so far: rows 0 to length - 1. */
  length = 0;
  private first: Uint32Array;
  private second: Uint32Array;
  /** Row + 1 by hash, EMPTY where there is none; a power of two, at least twice as many as rows. */
  private slots: Uint32Array;

  /** `expectedCount` pairs have room before the table grows. */
  constructor(expectedCount = 256) {
    const rowCount = Math.max(16, expectedCount);
    this.first = new Uint32Array(rowCount);
    this.second = new Uint32Array(rowCount);
    this.slots = new Uint32Array(2 ** Math.ceil(Math.log2(rowCount * 2)));
  }

  /** Row of the pair, which is added if it is new: then its row is the `length` from before. */
  add(a: number, b: number): number {
    const slot = this.findSlot(a, b);
    if (this.slots[slot] !== EMPTY) return this.slots[slot] - 1;
    const row = this.length++;
    if (row === this.first.length) this.growRows();
    this.first[row] = a;
    this.second[row] = b;
    this.slots[slot] = row + 1;
    if (this.length * 2 > this.slots.length) this.growSlots();
    return row;
  }

  /** Row of the pair, -1 if it was not added. */
  find(a: number, b: number): number {
    return this.slots[this.findSlot(a, b)] - 1;
  }

  private findSlot(a: number, b: number): number {
    const { first, second, slots } = this;
    const mask = slots.length - 1;
    let hash = Math.imul(a ^ Math.imul(b, MIX_A), MIX_B);
    hash ^= hash >>> 15;
    hash = Math.imul(hash, MIX_A);
    let slot = (hash ^ (hash >>> 13)) & mask;
    for (; ; slot = (slot + 1) & mask) {
      const row = slots[slot] - 1;
      if (row < 0 || (first[row] === a >>> 0 && second[row] === b >>> 0)) return slot;
    }
  }

  private growRows(): void {
    const [first, second] = [this.first, this.second].map((column) => {
      const grown = new Uint32Array(column.length * 2);
      grown.set(column);
      return grown;
    });
    this.first = first;
    this.second = second;
  }

  private growSlots(): void {
    this.slots = new Uint32Array(this.slots.length * 2);
    for (let row = 0; row < this.length; row++) {
      this.slots[this.findSlot(this.first[row], this.second[row])] = row + 1;
    }
  }
}
