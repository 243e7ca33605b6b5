/**
 * A message's, modal's or home tab's blocks. The library draws those that only show something
 * (rich text, Markdown, plans, tables, charts …); what can be operated, and whatever holds mrkdwn
 * (see `mrkdwn.ts`), is drawn here.
 */

import { Fragment, type ReactNode } from "react";

import type { Json } from "../model/protocol";
import { Alert, Card, Carousel, Container } from "./Cards";
import { Drawn } from "./Drawn";
import { Actions, Input } from "./Forms";
import { Context, Header, Picture, Section } from "./Sections";

const OWN: Record<string, (props: { block: Json }) => ReactNode> = {
  header: Header,
  section: Section,
  context: Context,
  actions: Actions,
  context_actions: Actions,
  input: Input,
  image: Picture,
  alert: Alert,
  card: Card,
  carousel: Carousel,
  container: Container,
  auth_provider: Unsupported,
};

export function Blocks({ blocks }: { blocks: Json[] }) {
  return (
    <div className="blocks">
      {blocks.map((block, index) => {
        const Own = OWN[block["type"] as string];
        return (
          <Fragment key={(block["block_id"] as string | undefined) ?? index}>
            {block["type"] === "data_table" && <div className="caption">{block["caption"]}</div>}
            {Own ? <Own block={block} /> : <Drawn block={block} />}
          </Fragment>
        );
      })}
    </div>
  );
}

function Unsupported({ block }: { block: Json }) {
  return <p className="unsupported">A block of type “{block["type"]}” can only be used in Slack itself.</p>;
}
