// Runs in a second thread: the retained sizes of a large heap, while the first computes its paths (see analyse-heap.ts).

import {
  computeDominators,
  computeRetainedSizes,
  type DominatorInputs,
} from '../analysis/dominators.ts';
import { answerRequests } from '../threads/helper-thread.ts';

export type RetainedRequest = DominatorInputs & { allocatedSize: Float64Array };

export interface RetainedAnswer {
  retainedSize: Float64Array;
}

answerRequests<RetainedRequest, RetainedAnswer>((request) => {
  const retainedSize = computeRetainedSizes(computeDominators(request), request.allocatedSize);
  return { content: { retainedSize }, transfer: [retainedSize.buffer as ArrayBuffer] };
});
