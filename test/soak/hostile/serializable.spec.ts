import { runOnHostileGround } from '../../support/hostile';

runOnHostileGround(['serializable by default'], ['lifecycle', 'quota', 'shared-limits', 'policy']);
