/** Messages of rheostat.v1 as protobuf's JSON has them: what is absent has its zero, 64-bit integers are strings, times are RFC 3339. */

export type Estimated = { value?: number; low?: number; high?: number };
export type State =
  | "DECISION_STATE_UNSPECIFIED"
  | "DECISION_STATE_ANSWERED"
  | "DECISION_STATE_CACHED"
  | "DECISION_STATE_ABSTAINED"
  | "DECISION_STATE_PLANNED"
  | "DECISION_STATE_OPEN";

export type DecisionLine = {
  decisionId: string;
  decideTime?: string;
  prompt?: string;
  task?: string;
  plans?: string[];
  state?: State;
  answer?: string;
  confidence?: number;
  difficulty?: number;
  costMicrodollars?: string;
  tokens?: string;
  seconds?: number;
  reward?: number;
  policy?: string;
  predictor?: string;
  arm?: string;
  explored?: boolean;
  reason?: string;
};
export type DecisionPage = { decisions?: DecisionLine[]; nextPageToken?: string; total?: number };

export type ActionCount = { action?: string; decisions?: number };
export type Summary = {
  decisions?: number;
  firstTime?: string;
  lastTime?: string;
  states?: { state?: State; decisions?: number }[];
  rated?: number;
  quality?: Estimated;
  costMicrodollars?: Estimated;
  secondsMedian?: number;
  secondsP95?: number;
  plans?: { plan?: string; decisions?: number; costMicrodollars?: string; quality?: Estimated }[];
  stages?: { stage?: number; actions?: ActionCount[] }[];
  difficulties?: { low?: number; high?: number; decisions?: number; last?: ActionCount[]; quality?: Estimated; costMicrodollars?: number }[];
  periods?: { beginTime?: string; decisions?: number; quality?: Estimated; costMicrodollars?: Estimated }[];
  calibration?: { believed?: number; observed?: Estimated; answers?: number }[];
};

export type Knobs = { valueMicrodollars?: number; abstainBelow?: number; exploration?: number; risk?: number; policy?: string };
export type PromotionStanding = {
  stage?: string;
  policy?: string;
  predictor?: string;
  knobs?: Knobs;
  control?: string;
  events?: { eventTime?: string; stage?: string; why?: string }[];
  share?: number;
};
export type Standing = {
  budgets?: { window?: string; unit?: string; limit?: string; spent?: string; held?: string; resetTime?: string }[];
  pace?: { valueMicrodollars?: number; spent?: number; deficit?: number };
  guard?: { enabled?: boolean; verdict?: string; control?: string; closed?: boolean; why?: string; reviewTime?: string };
  promotion?: PromotionStanding;
};

export type Fleet = {
  version?: string;
  startTime?: string;
  predictor?: string;
  policies?: string[];
  plans?: { plan?: string; pool?: string; strategy?: string; served?: boolean }[];
  pools?: { pool?: string; model?: string; workers?: number; load?: number; shadowPrice?: number }[];
  ejected?: number;
  hedged?: string;
  retried?: string;
};

export type PolicyEstimate = {
  name?: string;
  quality?: Estimated;
  costMicrodollars?: Estimated;
  netMicrodollars?: Estimated;
  aheadMicrodollars?: Estimated;
  effectiveDecisions?: number;
  refused?: string;
  modelledQuality?: number;
  modelledCostMicrodollars?: number;
  warnings?: string[];
  seconds?: Estimated;
};
export type KnobName = "value" | "abstain_below" | "risk" | "exploration";
export type Preview = {
  now?: number;
  points?: { at?: number; estimate?: PolicyEstimate }[];
  logged?: PolicyEstimate;
  constants?: PolicyEstimate[];
  decisions?: number;
};
export type Evaluation = { policy?: string; predictor?: string; decisions?: number; estimates?: PolicyEstimate[]; notJudged?: string[] };

export type Tenant = {
  name?: string;
  valueMicrodollars?: number;
  floor?: number;
  capMicrodollars?: string;
  windowSeconds?: number;
  abstainBelow?: number;
  risk?: number;
  exploration?: number;
  policy?: string;
  guard?: boolean;
  retention?: string;
  etag?: string;
};

export type Usage = {
  promptTokens?: string;
  keptTokens?: string;
  discardedTokens?: string;
  cancelledTokens?: string;
  scoredTokens?: string;
  calls?: string;
  costMicrodollars?: string;
  seconds?: number;
  joules?: number;
  samples?: string;
};
export type Choice = { name?: string; success?: number; score?: number; costMicrodollars?: number; chance?: number };
export type Stage = {
  index?: number;
  decideTime?: string;
  choices?: Choice[];
  action?: "ACTION_BUY" | "ACTION_STOP" | "ACTION_ABSTAIN";
  plan?: string;
  propensity?: number;
  explored?: boolean;
  policy?: string;
  predictor?: string;
  reason?: string;
  inHand?: number;
  answer?: string;
  outcomeAnswer?: string;
  stopReason?: string;
  usage?: Usage;
  candidates?: { answer?: string; tokens?: number; score?: number; logprob?: number }[];
  trace?: string;
  valueMicrodollars?: number;
  arm?: string;
};
export type Explanation = {
  stages?: Stage[];
  rewards?: { reward?: number; source?: string; reportTime?: string; stage?: number }[];
  traceId?: string;
};
