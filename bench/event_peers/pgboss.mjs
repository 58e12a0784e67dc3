// pg-boss: batches of 500, the next at once after a full one, woken by NOTIFY.
import pg from "pg";
import { PgBoss } from "pg-boss";
import { SQL, ended, ready, started } from "./worker.mjs";

const connectionString = process.env.DATABASE_URL;
const boss = new PgBoss({ connectionString, max: 10, useListenNotify: true });
boss.on("error", console.error);
await boss.start();
await boss.createQueue("order_created", { notify: true });
const pool = new pg.Pool({ connectionString, max: 50 });
const options = { batchSize: 500, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true };
await boss.work("order_created", options, (batch) =>
  Promise.all(
    batch.map(async ({ data: order }) => {
      started(order.id);
      await pool.query({ name: "update", text: SQL, values: [order.quantity, order.product_id] });
      ended();
    }),
  ),
);
ready(() => boss.stop({ graceful: false, timeout: 1000 }));
