// Makes a Python 3.8 to 3.13 run a line: puts a call of PyRun_SimpleString into its queue of pending calls while it stands
// still, and takes it out again if it was not made in time. The line lies in memory of the process that nobody uses.
// Source: Python/ceval.c, ceval_gil.c, pythonrun.c (PyRun_SimpleStringFlags).
//
// Order of writes: the text, the entry, the flag that makes the interpreter look, the ends of the queue. The last decides: a
// leakscope that dies before it has changed nothing that anybody looks at, one that dies after it has left a whole call.

import { UserError } from '../base/errors.ts';
import type { Address } from '../memory/memory-reader.ts';
import { LINE_START } from './bootstrap.ts';
import { isOfDeadOwner } from './channel-folder.ts';
import { openPendingQueue, type PendingQueue } from './pending-queue.ts';
import { cannotRun, type RemotePython } from './remote-python.ts';
import { clearLeftovers, findSlack, findZeroBytes } from './scratch.ts';

/** A call that waits to be made. */
export interface Armed {
  /** Which thread will run it, in words. */
  where: string;
  /** Whether the program has begun to run it. */
  isTaken(): boolean;
  /** Takes it back unless the program has begun to run it; what remains is harmless. Returns whether it had begun. */
  disarm(): boolean;
  /** Removes the traces of a call that was made. */
  clean(): void;
}

export interface ArmOptions {
  /** Waits between tries while the program's own calls are in the queue. */
  sleep(ms: number): Promise<void>;
  /** How long to go on trying. */
  limitMs: number;
}

const FIRST_RETRY_MS = 3;
const LAST_RETRY_MS = 50;

/** Times at which to try again: soon at first, then no more than 20 times a second, since each try is a pause. */
export async function* tries({ sleep, limitMs }: ArmOptions): AsyncGenerator<number> {
  const deadline = performance.now() + limitMs;
  for (let attempt = 0, waitMs = FIRST_RETRY_MS; ; attempt++, waitMs *= 1.3) {
    yield attempt;
    if (performance.now() > deadline) return;
    await sleep(Math.min(waitMs, LAST_RETRY_MS));
  }
}

/** Throws UnsupportedError where the process is not exactly as expected; then nothing was written. */
export async function armPendingCall(
  python: RemotePython,
  line: string,
  options: ArmOptions,
): Promise<Armed> {
  const queue = openPendingQueue(python);
  const func = findSimpleString(python);
  const text = Buffer.from(`${line}\0`, 'latin1');
  let obstacle: string | undefined;
  for await (const _ of tries(options)) {
    let placed: Placed | undefined;
    const place = () => {
      obstacle = queue.findObstacle();
      if (obstacle !== undefined && retractLeftover(python, queue, func)) {
        obstacle = queue.findObstacle();
      }
      if (obstacle === undefined) placed = putCall(python, queue, func, text);
    };
    try {
      python.target.withFrozen(place);
    } catch (error) {
      // Somebody else continued the process, after the writes were made: it is armed all the same.
      if (placed === undefined || !(error instanceof UserError)) throw error;
    }
    if (placed !== undefined) return armed(python, queue, placed);
  }
  throw cannotRun(
    python.pid,
    `${obstacle ?? 'it could not be stopped'}, and that did not change in time`,
    'Try again later.',
  );
}

interface Placed {
  slot: number;
  arg: Address;
  byteCount: number;
}

function putCall(
  python: RemotePython,
  queue: PendingQueue,
  func: Address,
  text: Uint8Array,
): Placed {
  const slot = queue.readSlot();
  const ranges = [...findSlack(python), ...queue.spareRanges(slot)];
  clearLeftovers(python, ranges);
  // One more byte than the text, so that it ends with a zero whatever lies behind it.
  const arg = findZeroBytes(python, ranges, text.length + 1);
  if (arg === undefined) {
    throw cannotRun(
      python.pid,
      'there is no unused memory for the call',
      'Start the program with: leakscope run -- CMD',
    );
  }
  python.writer.write(arg, text);
  queue.put(slot, func, arg);
  return { slot, arg, byteCount: text.length };
}

/** Takes out a call that a leakscope that was killed has left waiting. */
function retractLeftover(python: RemotePython, queue: PendingQueue, func: Address): boolean {
  const call = queue.findOnlyCall();
  if (call?.func !== func) return false;
  const line = python.target.memory.findCString(call.arg) ?? '';
  return line.startsWith(LINE_START) && isOfDeadOwner(line) && queue.retract(call.slot);
}

function armed(python: RemotePython, queue: PendingQueue, placed: Placed): Armed {
  const { slot, arg, byteCount } = placed;
  const zeros = new Uint8Array(byteCount);
  return {
    where: python.runtime.layout.has('_pending_calls.busy') ? 'any thread' : 'the main thread',
    isTaken: () => queue.isTaken(slot, arg),
    disarm: () => {
      let isTaken = false;
      const takeBack = () => {
        isTaken = queue.isTaken(slot, arg);
        if (isTaken) return;
        // Until it is out of the queue, and if it cannot be taken out, it is a call with an empty text: it does nothing.
        python.writer.write(arg, zeros.subarray(0, 1));
        if (queue.retract(slot)) python.writer.write(arg, zeros);
      };
      if (python.target.isAlive) python.target.withFrozen(takeBack);
      return isTaken;
    },
    clean: () => python.writer.write(arg, zeros),
  };
}

/** PyRun_SimpleString of the file that _PyRuntime lies in, seen to be in executable memory of that file. */
function findSimpleString(python: RemotePython): Address {
  const { runtime, mappings } = python;
  const name = 'PyRun_SimpleString';
  const address = runtime.findSymbol(name);
  const mapping = mappings.find(
    ({ start, end }) => address !== undefined && start <= address && address < end,
  );
  if (address === undefined || !mapping?.executable || mapping.path !== runtime.file) {
    throw cannotRun(
      python.pid,
      `its file ${runtime.file || '(unknown)'} does not export ${name}`,
      'Start the program with: leakscope run -- CMD',
    );
  }
  if (mappings.some(({ path }) => /\/ld-musl-/.test(path))) {
    throw cannotRun(
      python.pid,
      'it runs on musl libc, whose locks leakscope has not been tested with',
      'Start the program with: leakscope run -- CMD',
    );
  }
  return address;
}
