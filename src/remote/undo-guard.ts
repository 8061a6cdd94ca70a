// A small process beside leakscope that puts values back into a target when leakscope was killed before it could: for the
// moments in which a signal's handler of the target is another one, or a debugger script waits in it. It is told what to do
// before the first value is changed, and acts when the pipe to it ends and nobody has disarmed it.
//
// It has opened the target's memory at its start, so that it can write to no other process; it also compares the start
// time. A value is put back only where the target has not changed it. A signal that leakscope has sent still finds the
// harmless handler: until it has arrived nothing is put back. Not handled: leakscope and this process killed both.

import { GuardProcess, guardFailed, type WatchedProcess } from '../memory/guard-process.ts';
import type { Address } from '../memory/memory-reader.ts';

/** `original` goes to `address` if `swapped` is found at `seenAt`. */
export interface PutBack {
  seenAt: Address;
  swapped: Uint8Array;
  address: Address;
  original: Uint8Array;
}

/** Time for a signal handler that the kernel has begun to call. */
const HANDLER_MS = 150;

/** Arguments: number of the signal, milliseconds. The pipe: one line of JSON, a list of PutBack with bytes in hex, or `[]`. */
const SCRIPT = `
const [signal, handlerMs] = more.map(Number);
const memory = fs.openSync('/proc/' + pid + '/mem', 'r+');
let text = '';
function isUnderWay() {
  try {
    const status = fs.readFileSync('/proc/' + pid + '/status', 'latin1');
    const waiting = /^ShdPnd:\\s*(\\w+)/m.exec(status);
    return signal > 0 && isSame() && waiting !== null && ((BigInt('0x' + waiting[1]) >> BigInt(signal - 1)) & 1n) === 1n;
  } catch {
    return false;
  }
}
function putBack(list) {
  try {
    if (isSame()) {
      for (const [seenAt, swapped, address, original] of list) {
        const seen = Buffer.alloc(swapped.length / 2);
        fs.readSync(memory, seen, 0, seen.length, BigInt(seenAt));
        const bytes = Buffer.from(original, 'hex');
        if (seen.toString('hex') === swapped) fs.writeSync(memory, bytes, 0, bytes.length, address);
      }
    }
  } catch {}
  process.exit();
}
function wait(list) {
  if (isUnderWay()) setTimeout(wait, handlerMs, list);
  else setTimeout(putBack, handlerMs, list);
}
function end() {
  const list = JSON.parse(text.trimEnd().split('\\n').pop() || '[]');
  if (list.length === 0) process.exit();
  wait(list);
}
process.stdin.on('data', (part) => {
  text += part;
});
process.stdin.on('end', end);
process.stdin.on('error', end);
`;

export class UndoGuard {
  private readonly process: GuardProcess;

  private constructor(process: GuardProcess) {
    this.process = process;
  }

  /**
   * Waits for a `signal` that is on its way before it acts, if the values have to do with one. Returns at once; the process
   * needs some 45 ms (`waitUntilReady`). Throws AccessError.
   */
  static start(target: WatchedProcess, signal = 0): UndoGuard {
    return new UndoGuard(GuardProcess.start(target, SCRIPT, signal, HANDLER_MS));
  }

  /** Throws AccessError if it does not come up: nothing may be changed then. */
  waitUntilReady(): void {
    this.process.waitUntilReady();
  }

  /** Tells it what to put back, in this order. Throws AccessError if it has not got it: nothing may be changed then. */
  arm(values: readonly PutBack[]): void {
    const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
    const list = values.map((value) => [
      ...[value.seenAt, hex(value.swapped)],
      ...[value.address, hex(value.original)],
    ]);
    const hasIt = this.process.isAlive && this.process.tell(`${JSON.stringify(list)}\n`);
    if (!hasIt) throw guardFailed('it has ended');
  }

  /** All was put back. */
  disarm(): void {
    this.process.tell('[]\n');
  }

  /** Ends it, after it has put back what it was armed with and not disarmed. */
  close(): void {
    this.process.close();
  }
}
