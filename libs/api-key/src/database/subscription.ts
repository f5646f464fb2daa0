import type { DataSource, EntitySubscriberInterface } from 'typeorm';

/** Hears of transactions of a data source, as a subscriber of TypeORM. */
export class Subscription {
  constructor(
    private readonly dataSource: Pick<DataSource, 'subscribers'>,
    private readonly subscriber: EntitySubscriberInterface,
  ) {}

  /** Subscribes, again if necessary: the list is new after each `initialize` of the data source. */
  renew(): void {
    const { subscribers } = this.dataSource;
    if (!subscribers.includes(this.subscriber)) subscribers.push(this.subscriber);
  }

  end(): void {
    const { subscribers } = this.dataSource;
    const at = subscribers.indexOf(this.subscriber);
    if (at >= 0) subscribers.splice(at, 1);
  }
}
