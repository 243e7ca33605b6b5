/**
 * Slack's mrkdwn as Block Kit rich text, which the block library then draws.
 *
 * The library reads mrkdwn itself, but unescapes it first: text that the bot had made harmless
 * (`&lt;!channel&gt;`) is drawn as a live mention, `# x` disappears and `2*3*4` turns bold.
 */

import { NodeType, type Node, parse } from "slack-message-parser";

import { emoji } from "./format";
import type { Json } from "./protocol";

type Style = { bold?: true; italic?: true; strike?: true; code?: true };

const ENTITIES: Record<string, string> = { "&lt;": "<", "&gt;": ">", "&amp;": "&" };

export const unescape = (text: string) => text.replace(/&(?:lt|gt|amp);/g, (entity) => ENTITIES[entity] ?? entity);

const WEB_ADDRESS = /https?:\/\/[^\s<>|]*[^\s<>|.,:;!?'")\]}]/g;

export const isSafeLink = (url: string) => /^(?:https?:|mailto:)/i.test(url);

/** A `rich_text` block with the meaning of `text`. `verbatim`: leave bare addresses alone. */
export function richText(text: string, { verbatim = false } = {}): Json {
  return { type: "rich_text", elements: paragraphs(parse(text), verbatim) };
}

/** A `rich_text` block that shows `text` as it is, apart from emoji shortcodes. */
export function plainRichText(text: string): Json {
  return { type: "rich_text", elements: [{ type: "rich_text_section", elements: withEmoji(text) }] };
}

function paragraphs(root: Node, verbatim: boolean): Json[] {
  const blocks: Json[] = [];
  let line: Json[] = [];
  const endLine = () => {
    if (line.length > 0) blocks.push({ type: "rich_text_section", elements: line });
    line = [];
  };
  for (const node of "children" in root ? root.children : [root]) {
    if (node.type === NodeType.PreText) {
      trimEnd(line);
      endLine();
      const code = unescape(node.text.replace(/^\n|\n$/g, ""));
      blocks.push({ type: "rich_text_preformatted", elements: [{ type: "text", text: code }] });
    } else if (node.type === NodeType.Quote) {
      trimEnd(line);
      endLine();
      blocks.push({ type: "rich_text_quote", elements: quoteLines(inline(node.children, {}, verbatim)) });
    } else {
      const last = blocks.at(-1)?.["type"];
      const elements = inline([node], {}, verbatim);
      const afterBlock = line.length === 0 && (last === "rich_text_preformatted" || last === "rich_text_quote");
      line.push(...(afterBlock ? trimStart(elements) : elements));
    }
  }
  endLine();
  return blocks;
}

function inline(nodes: Node[], style: Style, verbatim: boolean): Json[] {
  return nodes.flatMap((node): Json[] => {
    const styled = Object.keys(style).length > 0 ? { style } : {};
    switch (node.type) {
      case NodeType.Text:
        return verbatim ? [text(node.text, style)] : withLinks(node.text, style);
      case NodeType.Bold:
        return inline(node.children, { ...style, bold: true }, verbatim);
      case NodeType.Italic:
        return inline(node.children, { ...style, italic: true }, verbatim);
      case NodeType.Strike:
        return inline(node.children, { ...style, strike: true }, verbatim);
      case NodeType.Code:
        return [text(node.text, { ...style, code: true })];
      case NodeType.Emoji: {
        const name = node.variation ? `${node.name}::${node.variation}` : node.name;
        return emoji(name) ? [{ type: "emoji", name: node.name }] : [text(node.source, style)];
      }
      case NodeType.UserLink:
        return [{ type: "user", user_id: node.userID, ...styled }];
      case NodeType.ChannelLink:
        return [{ type: "channel", channel_id: node.channelID, ...styled }];
      case NodeType.URL: {
        const label = node.label ? plain(node.label) : unescape(node.url);
        if (!isSafeLink(node.url)) return [text(node.source, style)];
        return [{ type: "link", url: unescape(node.url), text: label, ...styled }];
      }
      case NodeType.Command:
        return [command(node.name, node.arguments, node.label ? plain(node.label) : node.source, style)];
      case NodeType.PreText:
        return [text(node.text, { ...style, code: true })];
      default:
        return inline(node.children, style, verbatim);
    }
  });
}

function command(name: string, given: string[], label: string, style: Style): Json {
  if (name === "here" || name === "channel" || name === "everyone") {
    return { type: "broadcast", range: name };
  }
  if (name === "subteam" && given[0]) return { type: "usergroup", usergroup_id: given[0] };
  if (name === "date" && given[0] && given[1]) {
    return { type: "date", timestamp: Number(given[0]), format: given[1], fallback: label };
  }
  return text(label, style);
}

const plain = (nodes: Node[]): string =>
  nodes
    .map((node) => ("children" in node ? plain(node.children) : "text" in node ? unescape(node.text) : node.source))
    .join("");

const text = (escaped: string, style: Style): Json => ({
  type: "text",
  text: unescape(escaped),
  ...(Object.keys(style).length > 0 ? { style } : {}),
});

function withLinks(escaped: string, style: Style): Json[] {
  const elements: Json[] = [];
  let from = 0;
  for (const found of escaped.matchAll(WEB_ADDRESS)) {
    if (found.index > from) elements.push(text(escaped.slice(from, found.index), style));
    elements.push({ type: "link", url: unescape(found[0]) });
    from = found.index + found[0].length;
  }
  if (from < escaped.length) elements.push(text(escaped.slice(from), style));
  return elements;
}

function withEmoji(literal: string): Json[] {
  return literal
    .split(/(:[a-z0-9_+'-]+:)/)
    .filter((part) => part !== "")
    .map((part) => {
      const name = /^:(.+):$/.exec(part)?.[1];
      return name && emoji(name) ? { type: "emoji", name } : { type: "text", text: part };
    });
}

/** Without the space that follows each line's `>`. */
function quoteLines(elements: Json[]): Json[] {
  const startsLine = (index: number) => {
    const before = elements[index - 1];
    return index === 0 || (before?.["type"] === "text" && (before["text"] as string).endsWith("\n"));
  };
  return elements.map((element, index) =>
    element["type"] === "text" && startsLine(index)
      ? { ...element, text: (element["text"] as string).replace(/^ /, "") }
      : element,
  );
}

function trimStart(elements: Json[]): Json[] {
  const [first, ...rest] = elements;
  if (first?.["type"] !== "text") return elements;
  const kept = (first["text"] as string).replace(/^\n/, "");
  return kept === "" ? rest : [{ ...first, text: kept }, ...rest];
}

function trimEnd(line: Json[]): void {
  const last = line.at(-1);
  if (last?.["type"] !== "text") return;
  last["text"] = (last["text"] as string).replace(/\n$/, "");
  if (last["text"] === "") line.pop();
}
