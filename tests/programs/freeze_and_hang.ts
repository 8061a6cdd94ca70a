// Freezes a process and hangs while it stands still: `freeze_and_hang.ts PID SILENCE_LIMIT_MS HANG_MS`. Prints `frozen`
// when it does, and afterwards what withFrozen threw.

import { writeSync } from 'node:fs';
import { openTarget, systemControl } from '../../src/memory/freeze.ts';
import { waitMs } from '../../src/memory/guard-process.ts';
import { Watchdog } from '../../src/memory/watchdog.ts';

const [pid, silenceLimitMs, hangMs] = process.argv.slice(2).map(Number);
const target = openTarget(pid, {
  ...systemControl,
  startWatchdog: (watched) => Watchdog.start(watched, silenceLimitMs),
});
try {
  target.withFrozen(() => {
    writeSync(1, 'frozen\n');
    waitMs(hangMs);
  });
  writeSync(1, 'nothing was thrown\n');
} catch (error) {
  writeSync(1, `${error}\n`);
}
target.close();
