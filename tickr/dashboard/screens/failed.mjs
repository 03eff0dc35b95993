import { fill, h } from "../dom.mjs";

export const title = () => "Dead letters";

export async function open(page) {
  fill(page.content, h("h1", {}, title()));
}
