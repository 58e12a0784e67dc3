// graphile-worker with its local queue, and completions in batches.
import { Logger, run } from "graphile-worker";
import { SQL, ended, ready, started } from "./worker.mjs";

const told = (level, message) => level === "error" && console.error(message);
const worker = {
  connectionString: process.env.DATABASE_URL,
  concurrentJobs: 50,
  maxPoolSize: 51,
  localQueue: { size: 500 },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0,
  logger: new Logger(() => told),
};
const runner = await run({
  preset: { worker },
  noHandleSignals: true,
  taskList: {
    async order_created(order, { query }) {
      started(order.id);
      await query(SQL, [order.quantity, order.product_id]);
      ended();
    },
  },
});
ready(() => runner.stop());
