// The line of Python that runs in the program itself: it starts a thread, and everything else happens there. It runs at
// an arbitrary point of the program, so it binds no name, imports nothing new, takes no lock and lets no exception out: what
// it raises would end the program. Holds the thread that runs it for about 0.1 ms.

/** `agentPath` is the agent's file as the target sees it; it must need no quoting. */
export function formatBootstrap(agentPath: string, hasGevent: boolean): string {
  const agent = `try:exec(open('${agentPath}').read(),{})\\nexcept BaseException:pass`;
  const start = hasGevent
    ? "__import__('sys').modules['gevent.monkey'].get_original('_thread','start_new_thread')"
    : "__import__('_thread').start_new_thread";
  return `try:${start}(exec,("${agent}",{}))\nexcept BaseException:pass\n`;
}
