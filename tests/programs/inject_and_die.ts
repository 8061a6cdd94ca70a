// Comes into the process argv[2] and kills itself before the write number argv[3] to its memory, or, where there are fewer,
// when everything is done: then it ends with 0. The first steps are before the first write.

import { openRemote } from '../../src/remote/open-remote.ts';
import { openTargetWriter } from '../../src/remote/target-writer.ts';

const [pid, step] = process.argv.slice(2).map(Number);
let steps = 0;
const die = (): void => {
  if (++steps === step) process.kill(process.pid, 'SIGKILL');
};

const remote = await openRemote(pid, {
  // Between the folder and the first write, and while it waits.
  onProgress: die,
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
