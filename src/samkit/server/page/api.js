// Calls of the server. A token, if it wants one, comes in the address: #token=...

const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  sessionStorage.setItem("samkit-token", given);
  history.replaceState(null, "", location.pathname + location.search);
}

export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

async function send(method, path, body, signal) {
  const headers = {};
  const token = sessionStorage.getItem("samkit-token");
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(`/v1/project${path}`, {
      method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "the server does not answer; is it still running?");
  }
  if (!answer.ok) {
    const { error } = await answer.json().catch(() => ({ error: {} }));
    throw new ApiError(answer.status, error.code ?? "error", error.message ?? answer.statusText);
  }
  return answer;
}

export async function call(method, path, body, signal) {
  const answer = await send(method, path, body, signal);
  return answer.status === 204 ? null : answer.json();
}

// Pictures are kept by the browser, but not for another page at this address: it may show others.
const page = crypto.randomUUID();

export async function picture(path, signal) {
  const answer = await send("GET", `${path}?page=${page}`, undefined, signal);
  return createImageBitmap(await answer.blob());
}

// Server-sent events as they come: the data of each `frame`, until they end or `signal` stops them.
export async function stream(path, body, signal, onFrame) {
  const answer = await send("POST", path, body, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new ApiError(0, "unreachable", "the server has stopped answering");
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const lines = Object.fromEntries(block.split("\n").map((line) => {
        const colon = line.indexOf(": ");
        return [line.slice(0, colon), line.slice(colon + 2)];
      }));
      const data = JSON.parse(lines.data);
      if (lines.event === "end") return;
      if (lines.event === "error") throw new ApiError(200, data.error.code, data.error.message);
      onFrame(data);
    }
  }
}
