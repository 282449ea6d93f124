import type { Bus } from "../../shared/bus.ts";
import type { Clock } from "../../shared/clock.ts";
import { UnderpassError } from "../../shared/errors.ts";
import type { Link } from "../../shared/link.ts";
import { acceptBusLinks, dialBusLink } from "../../shared/links/bus-dial.ts";

/** A link that one process has dialled to another over the bus. */
export async function busLinks(one: Bus, two: Bus, clock: Clock): Promise<{ agent: Link; relay: Link }> {
  const arrival = Promise.withResolvers<Link>();
  const cluster = "links";
  const stop = acceptBusLinks(
    { bus: two, clock, cluster },
    { id: "bbbbbbbb", admit: async () => undefined, arrived: arrival.resolve },
  );
  await two.flushed();
  const agent = await new Promise<Link>((resolve, reject) => {
    dialBusLink({ bus: one, clock, cluster }, "bbbbbbbb", { from: "aaaaaaaa", token: "T" }, (result) => {
      if (result instanceof UnderpassError) reject(result);
      else resolve(result);
    });
  });
  stop();
  return { agent, relay: await arrival.promise };
}
