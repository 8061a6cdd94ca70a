// Waiting for what another process does, with an end.

/** Waits until `isTrue`, at most `limitMs`; returns whether it became true. */
export async function becomesTrue(isTrue: () => boolean, limitMs: number): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  while (!isTrue()) {
    if (performance.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return true;
}
