import type { Ack } from '../codec.ts';

interface Place {
  answer: Ack | 'none' | undefined;
}

/** Acknowledgements in the order of what they acknowledge ([MQTT-4.6.0-2], [MQTT-4.6.0-3]), whenever each is known. */
export class Answers {
  readonly #say: (ack: Ack) => void;
  readonly #places: Place[] = [];

  constructor(say: (ack: Ack) => void) {
    this.#say = say;
  }

  /** @returns how to give the answer, once; undefined: there is none */
  place(): (answer: Ack | undefined) => void {
    const place: Place = { answer: undefined };
    this.#places.push(place);
    return (answer) => {
      place.answer = answer ?? 'none';
      this.#flush();
    };
  }

  #flush(): void {
    for (let first = this.#places[0]; first?.answer !== undefined; first = this.#places[0]) {
      this.#places.shift();
      if (first.answer !== 'none') this.#say(first.answer);
    }
  }
}
