// What a core file cannot tell, in sentences for people: files of the process that were not found and what that costs, what
// was cut off, what could not be verified.

import { formatBytes, formatNumberOf, sanitizeText } from '../base/format.ts';
import type { CaptureLine } from './schemas.ts';

const FILES_SHOWN = 5;

/** One line each; none for a core that has all, and for a process. */
export function describeCoreGaps(core: CaptureLine['core']): string[] {
  if (core === null) return [];
  const lines: string[] = [];
  const { missingFiles, unverifiedFiles, cutOffBytes } = core;
  if (cutOffBytes > 0) {
    lines.push(
      `the core was cut off: ${formatBytes(cutOffBytes)} of memory are missing; what lay there is counted as a problem`,
    );
  }
  for (const { path, reason, bytes } of missingFiles.slice(0, FILES_SHOWN)) {
    const cost =
      bytes === 0
        ? 'names of its C functions are not known'
        : `${formatBytes(bytes)} of its data cannot be read: names of types and functions, pointers`;
    lines.push(`missing: ${sanitizeText(path)} (${sanitizeText(reason)}): ${cost}`);
  }
  if (missingFiles.length > FILES_SHOWN) {
    const rest = formatNumberOf(missingFiles.length - FILES_SHOWN, 'file');
    lines.push(`${rest} more are missing; --sysroot DIR says where they are`);
  }
  if (unverifiedFiles.length > 0) {
    lines.push(
      `${formatNumberOf(unverifiedFiles.length, 'file')} fit the core, which does not have the build ids that would prove that they are the ones (coredump_filter without bit 4)`,
    );
  }
  return lines;
}
