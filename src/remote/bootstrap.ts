// The line of Python that runs in the program itself: it starts a thread, and everything else happens there. It runs at
// an arbitrary point of the program, so it binds no name, imports nothing new, takes no lock and lets no exception out: what
// it raises would end the program. Holds the thread that runs it for about 0.1 ms.

/** How the line begins, by which it is known again. */
export const LINE_START = 'try:__import__(';

/** `agentPath` is the agent's file as the target sees it; it must need no quoting. */
export function formatBootstrap(agentPath: string, hasGevent: boolean): string {
  const agent = `try:exec(open('${agentPath}').read(),{})\\nexcept BaseException:pass`;
  const start = hasGevent
    ? "('sys').modules['gevent.monkey'].get_original('_thread','start_new_thread')"
    : "('_thread').start_new_thread";
  return `${LINE_START}${start.slice(1)}(exec,("${agent}",{}))\nexcept BaseException:pass\n`;
}
