/** Header, section, context and image blocks. */

import { ImageIcon } from "lucide-react";

import { Element, isInteractive } from "../controls/Element";
import { isSafeLink } from "../model/mrkdwn";
import type { Json } from "../model/protocol";
import { PlainText, TextObject } from "./Text";

export function Header({ block }: { block: Json }) {
  const Heading = `h${(block["level"] as number | undefined) ?? 3}` as "h1" | "h2" | "h3" | "h4";
  return (
    <Heading className="block-header">
      <PlainText text={String(block["text"]?.text ?? "")} />
    </Heading>
  );
}

export function Section({ block }: { block: Json }) {
  const accessory = block["accessory"] as Json | undefined;
  return (
    <div className="block-section">
      <div className="section-content">
        {block["text"] && <TextObject text={block["text"] as Json} />}
        {block["fields"] && (
          <div className="section-fields">
            {(block["fields"] as Json[]).map((field, index) => (
              <TextObject key={index} text={field} />
            ))}
          </div>
        )}
      </div>
      {accessory && (
        <div className="section-accessory">
          {isInteractive(accessory) ? (
            <Element
              blockId={block["block_id"] as string}
              element={accessory}
              dispatches
              label={block["text"]?.text as string}
            />
          ) : (
            <PictureLink image={accessory} />
          )}
        </div>
      )}
    </div>
  );
}

export function Context({ block }: { block: Json }) {
  return (
    <div className="block-context">
      {(block["elements"] as Json[]).map((element, index) =>
        element["type"] === "image" ? (
          <PictureLink key={index} image={element} />
        ) : (
          <TextObject key={index} text={element} />
        ),
      )}
    </div>
  );
}

export function Picture({ block }: { block: Json }) {
  return (
    <figure className="block-picture">
      {block["title"] && (
        <figcaption>
          <PlainText text={String(block["title"].text)} />
        </figcaption>
      )}
      <PictureLink image={block} />
    </figure>
  );
}

/** Pictures of this workspace are shown; those elsewhere are linked: the page fetches nothing. */
export function PictureLink({ image }: { image: Json }) {
  const url = String(image["image_url"] ?? image["slack_file"]?.url ?? "");
  const alt = String(image["alt_text"] ?? "picture");
  if (url.startsWith("/") || url.startsWith(`${location.origin}/`)) {
    return <img className="picture" src={url} alt={alt} />;
  }
  const content = (
    <>
      <ImageIcon size={14} aria-hidden /> {alt}
    </>
  );
  return isSafeLink(url) ? (
    <a className="picture-link" href={url} target="_blank" rel="noopener noreferrer" title="A picture elsewhere">
      {content}
    </a>
  ) : (
    <span className="picture-link">{content}</span>
  );
}
