/** The one route of every variant. */
export const ROUTE = 'bench';

/** What the route answers in every variant. */
export const ANSWER = { items: [], nextCursor: null };
