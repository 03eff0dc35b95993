// What is said in words: text, with what stands in back quotes as code. Pure but for the elements that it makes.

import { h } from "../ui/dom.mjs";

export const prose = (text = "") => text.split("`").map((part, place) => (place % 2 ? h("code", {}, part) : part));
