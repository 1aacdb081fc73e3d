// Asks a question and shows the stages while they happen: `npm ci && npm run ask -- "What is 2 + 2?"`. RHEOSTAT_ADDRESS and RHEOSTAT_KEY say whom, and as whom.
import { ChannelCredentials, Client, Metadata, loadPackageDefinition, type ClientReadableStream, type ServiceError } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { randomUUID } from "node:crypto";

interface Usage {
  cost_microdollars: number;
}

interface Answered {
  stage?: { index: number; decision: { action: string; plan: string; reason: string } };
  final?: { decision_id: string; ending: string; receipt: { usage: Usage }; answer?: { answer: string; confidence: number } };
}

interface RouterService extends Client {
  AnswerQuery(request: object, metadata: Metadata, options: { deadline: Date }): ClientReadableStream<Answered>;
  ReportOutcome(request: object, metadata: Metadata, done: (error: ServiceError | null) => void): void;
}

const protos = process.env.RHEOSTAT_PROTO ?? new URL("../../../proto", import.meta.url).pathname; // from dist/
const loaded = loadSync("rheostat/v1/router_service.proto", { includeDirs: [protos], keepCase: true, longs: Number, enums: String, defaults: true });
const { rheostat } = loadPackageDefinition(loaded) as any;

// A call that meets a router that ends is made again, at another one where there are several; the request's id has it paid for once.
const retryableStatusCodes = ["UNAVAILABLE", "CANCELLED"];
const retryPolicy = { maxAttempts: 4, initialBackoff: "0.1s", maxBackoff: "1s", backoffMultiplier: 2, retryableStatusCodes };
const config = { loadBalancingConfig: [{ round_robin: {} }], methodConfig: [{ name: [{ service: "rheostat.v1.RouterService" }], retryPolicy }] };
const address = process.env.RHEOSTAT_ADDRESS ?? "127.0.0.1:50051";
const service: RouterService = new rheostat.v1.RouterService(address, ChannelCredentials.createInsecure(), {
  "grpc.service_config": JSON.stringify(config),
});

const metadata = new Metadata();
if (process.env.RHEOSTAT_KEY) metadata.set("authorization", `Bearer ${process.env.RHEOSTAT_KEY}`);

const question = process.argv[2] ?? "Tom has 5 apples. Then Tom buys 3 more apples. How many apples does Tom have now?";
const query = { id: randomUUID(), messages: [{ role: "ROLE_USER", content: question }], task: "TASK_MATH" };
const call = service.AnswerQuery({ query }, metadata, { deadline: new Date(Date.now() + 60_000) });

call.on("data", ({ stage, final }: Answered) => {
  if (stage) console.log(`${stage.index + 1}. ${stage.decision.action} ${stage.decision.plan}: ${stage.decision.reason}`);
  if (!final) return;
  console.log(JSON.stringify({ answer: final.answer?.answer, confidence: final.answer?.confidence, cost: final.receipt.usage.cost_microdollars }));
  const outcome = { decision_id: final.decision_id, reward: 1, source: "REWARD_SOURCE_USER" };
  service.ReportOutcome(outcome, metadata, (error) => {
    if (error) throw error;
    service.close();
  });
});
call.on("error", (error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
