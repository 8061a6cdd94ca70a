// Comes into the process argv[2] and kills itself before the write number argv[3] to its memory, or, where there are fewer,
// when everything is done: then it ends with 0. The first steps are before the first write. With `signals` as argv[4] it
// wakes the main thread by SIGINT, too, and the steps are those from where handlers of signals are swapped.

import { openRemote } from '../../src/remote/open-remote.ts';
import { openTargetWriter } from '../../src/remote/target-writer.ts';

const [pid, step] = process.argv.slice(2, 4).map(Number);
const ofSignals = process.argv[4] === 'signals';
let counts = !ofSignals;
let steps = 0;
const die = (): void => {
  if (counts && ++steps === step) process.kill(process.pid, 'SIGKILL');
};

const { kill } = process;
process.kill = (target, signal) => {
  const done = kill.call(process, target, signal);
  // Before the target can have noticed.
  if (signal === 'SIGINT') die();
  return done;
};

const remote = await openRemote(pid, {
  nudge: ofSignals,
  // Between the folder and the first write, and while it waits.
  onProgress: (text) => {
    if (/^(waking|nudging) /.test(text)) counts = true;
    die();
  },
  openWriter: (target) => {
    const writer = openTargetWriter(target);
    return {
      write: (address, bytes) => {
        die();
        writer.write(address, bytes);
      },
      close: writer.close,
    };
  },
});
die();
await remote.request('run', { code: '1' });
die();
await remote.close();
