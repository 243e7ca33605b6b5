/** Uploaded files and legacy attachments. */

import { FileText } from "lucide-react";

import { Blocks } from "../blocks/Blocks";
import { TextObject } from "../blocks/Text";
import { SurfaceProvider } from "../controls/SurfaceProvider";
import { fileSize } from "../model/format";
import type { FileRecord, Json, Message } from "../model/protocol";

const COLOURS: Record<string, string> = { good: "#2eb67d", warning: "#ecb22e", danger: "#e01e5a" };

export function Attachments({ message }: { message: Message }) {
  return (
    <>
      {message.files.map((file) => (
        <FileCard key={file.id} file={file} />
      ))}
      {message.attachments.map((attachment, index) => (
        <Attachment key={index} attachment={attachment} message={message} />
      ))}
    </>
  );
}

function FileCard({ file }: { file: FileRecord }) {
  if (/^image\/(?:png|jpeg|gif|webp)$/.test(file.mimetype)) {
    return (
      <a className="file-picture" href={file.url} target="_blank" rel="noopener noreferrer">
        <img src={file.url} alt={file.alt_txt || file.title} />
      </a>
    );
  }
  return (
    <a className="file" href={file.url} target="_blank" rel="noopener noreferrer" data-testid={`file-${file.id}`}>
      <FileText size={28} aria-hidden />
      <span>
        <strong>{file.title || file.name}</strong>
        <small>
          {file.name} · {fileSize(file.size)}
        </small>
      </span>
    </a>
  );
}

function Attachment({ attachment, message }: { attachment: Json; message: Message }) {
  const given = String(attachment["color"] ?? "");
  const colour =
    COLOURS[given] ?? (/^#?[0-9a-f]{6}$/i.test(given) ? `#${given.replace("#", "")}` : "var(--line-strong)");
  const blocks = (attachment["blocks"] ?? []) as Json[];
  const text = (part: string) =>
    attachment[part] && <TextObject text={{ type: "mrkdwn", text: String(attachment[part]) }} />;
  return (
    <div className="attachment" style={{ borderLeftColor: colour }}>
      {blocks.length > 0 ? (
        <SurfaceProvider
          where={{ channel: message.channel, message_ts: message.ts }}
          thread={message.thread_ts}
          blocks={blocks}
        >
          <Blocks blocks={blocks} />
        </SurfaceProvider>
      ) : (
        <>
          {text("pretext")}
          <strong>{text("title")}</strong>
          {text("text") ?? text("fallback")}
        </>
      )}
    </div>
  );
}
