// The trend of a series: the Mann-Kendall test for whether it goes up or down at all (Mann 1945; Kendall, Rank Correlation
// Methods, 1975), and the Theil-Sen slope with its confidence interval (Sen 1968; Hollander & Wolfe, Nonparametric
// Statistical Methods, 9.3). Both look at the signs and slopes of all pairs of points: one odd value moves neither.
//
// Not handled: dependence between neighbouring points. Who measures often averages over longer stretches first.

export interface Trend {
  /** Points that it is made of. */
  count: number;
  /** Median of the slopes between all pairs: change of the value per unit of time. */
  slope: number;
  /** The true slope lies in [low, high] with 95 % confidence; infinite where there are too few points to say. */
  low: number;
  high: number;
  /** Kendall's S: pairs that rise less pairs that fall. */
  score: number;
  /** How likely an |S| as large is without any trend, 0..1. */
  pValue: number;
}

const FEWEST_POINTS = 3;
/** Above it the normal approximation is exact to three digits. */
const MOST_FOR_EXACT = 40;
const ALPHA = 0.05;
/** Quantile of the normal distribution at 1 - ALPHA / 2. */
const NORMAL_QUANTILE = 1.959964;

/** `times` ascend. Undefined for fewer than three points. O(n^2 log n): a millisecond for 100 points. */
export function computeTrend(
  times: readonly number[],
  values: readonly number[],
): Trend | undefined {
  const count = times.length;
  if (count < FEWEST_POINTS) return undefined;
  const slopes: number[] = [];
  let score = 0;
  for (let i = 0; i < count; i++) {
    for (let j = i + 1; j < count; j++) {
      score += Math.sign(values[j] - values[i]);
      if (times[j] > times[i]) slopes.push((values[j] - values[i]) / (times[j] - times[i]));
    }
  }
  slopes.sort((a, b) => a - b);
  const rank = confidenceRank(values, slopes.length);
  return {
    count,
    slope: median(slopes),
    low: rank >= 1 ? slopes[rank - 1] : Number.NEGATIVE_INFINITY,
    high: rank >= 1 ? slopes[slopes.length - rank] : Number.POSITIVE_INFINITY,
    score,
    pValue: computePValue(values, score),
  };
}

/** Of ascending values; NaN for none. */
function median(values: readonly number[]): number {
  const middle = values.length >> 1;
  return values.length % 2 === 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/** Which of the ascending slopes, counted from 1 and from either end, bounds the interval; below 1 if none does. */
function confidenceRank(values: readonly number[], slopeCount: number): number {
  const { length } = values;
  if (length > MOST_FOR_EXACT || hasTies(values)) {
    return Math.floor((slopeCount - NORMAL_QUANTILE * Math.sqrt(scoreVariance(values))) / 2);
  }
  // The least score that is unlikely enough; scores have the parity of the number of pairs.
  const pairs = (length * (length - 1)) / 2;
  const tail = scoreTail(length);
  let score = pairs;
  if (tail(score) > ALPHA / 2) return 0;
  while (tail(score - 2) <= ALPHA / 2) score -= 2;
  return (pairs - (score - 2)) / 2;
}

function computePValue(values: readonly number[], score: number): number {
  if (score === 0) return 1;
  if (values.length <= MOST_FOR_EXACT && !hasTies(values)) {
    return Math.min(1, 2 * scoreTail(values.length)(Math.abs(score)));
  }
  const variance = scoreVariance(values);
  if (variance <= 0) return 1;
  return complementaryError((Math.abs(score) - 1) / Math.sqrt(2 * variance));
}

const hasTies = (values: readonly number[]): boolean => new Set(values).size < values.length;

/** Of S without a trend. */
function scoreVariance(values: readonly number[]): number {
  const term = (n: number): number => n * (n - 1) * (2 * n + 5);
  const sizes = new Map<number, number>();
  for (const value of values) sizes.set(value, (sizes.get(value) ?? 0) + 1);
  let variance = term(values.length);
  for (const size of sizes.values()) variance -= term(size);
  return variance / 18;
}

/**
 * The probability of a score of at least `score` among all orders of `count` different values. S is the number of pairs less
 * twice the number of inversions, whose distribution grows by one value at a time.
 */
function scoreTail(count: number): (score: number) => number {
  const pairs = (count * (count - 1)) / 2;
  let probability = new Float64Array(pairs + 1);
  probability[0] = 1;
  for (let n = 2; n <= count; n++) {
    const next = new Float64Array(pairs + 1);
    for (let inversions = 0; inversions <= (n * (n - 1)) / 2; inversions++) {
      let sum = 0;
      for (let added = 0; added < n && added <= inversions; added++) {
        sum += probability[inversions - added];
      }
      next[inversions] = sum / n;
    }
    probability = next;
  }
  return (score) => {
    let sum = 0;
    for (let inversions = 0; pairs - 2 * inversions >= score; inversions++) {
      sum += probability[inversions];
    }
    return sum;
  };
}

/** erfc(x) for x of 0 and more, to 1.2e-7. Source: Numerical Recipes, 6.2 (erfcc). */
function complementaryError(x: number): number {
  if (x <= 0) return 1;
  const t = 1 / (1 + 0.5 * x);
  const coefficients = [
    -1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398,
    1.48851587, -0.82215223, 0.17087277,
  ];
  const polynomial = coefficients.reduceRight((sum, coefficient) => sum * t + coefficient, 0);
  return t * Math.exp(-x * x + polynomial);
}
