// How an answer came about: the votes of self-consistency, and the examples that its prompt showed. Plain text only, no HTML.
import { h } from "./dom.js";

/** How many said what, and in full what the others said. */
export function votesBody(made) {
  const said = (count) => `: ${count === 1 ? "1 vote" : `${count} votes`}`;
  const list = h("ul.hc-votes", {}, ...made.votes.map(([answer, count]) => h("li", {}, h("b", {}, answer), said(count))));
  const others = made.samples.filter((sample) => !sample.agrees);
  return [list, ...others.map((sample) => h("details.hc-fold", { testid: "other-answer" },
    h("summary", {}, `Another answer: ${sample.taken}`),
    sample.reasoning ? h("p.hc-plain", {}, sample.reasoning) : null,
    h("p.hc-plain", {}, sample.answer)))];
}

export function examplesTitle(examples) {
  return `${examples.length === 1 ? "1 example" : `${examples.length} examples`} that people here wrote or preferred`;
}

export function examplesBody(examples) {
  return examples.map((example) => h("div.hc-example", { testid: "example" },
    h("p.hc-plain", {}, h("b", {}, example.question)), h("p.hc-plain", {}, example.answer), h("small", {}, example.source)));
}
