import { runOnHostileGround } from '../../support/hostile';

runOnHostileGround(['repeatable read by default'], ['lifecycle', 'quota', 'rate-limit-shared']);
