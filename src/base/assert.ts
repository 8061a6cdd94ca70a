// Checks of what this program itself promises. A failed assertion is a bug in leakscope (exit code 70), never a fact
// about the target: what is read from a target is checked where it is decoded and counted in `Problems`.

export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}
