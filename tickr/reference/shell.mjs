// A request as a command for a shell. Pure.

/** Return the command; withToken: the token stands in a variable, and never in the text. */
export function command({ method, url, headers, body }, withToken) {
  const parts = [`curl -i${method === "GET" ? "" : ` -X ${method}`} ${quoted(url)}`];
  if (withToken) parts.push('-H "Authorization: Bearer $TICKR_TOKEN"');
  for (const [name, value] of Object.entries(headers)) parts.push(`-H ${quoted(`${name}: ${value}`)}`);
  if (body !== undefined) parts.push(`-d ${quoted(body)}`);
  return parts.join(" \\\n  ");
}

/** In single quotes nothing means anything to a shell but the quote itself. */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
