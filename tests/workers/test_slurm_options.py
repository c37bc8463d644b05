"""The value of `--slurm`: defaults, and one line for each mistake."""

import pytest

from venation.errors import UsageError
from venation.workers.slurm_options import SlurmOptions, read_slurm


def test_keys_are_read_and_the_rest_follows_from_the_gpus() -> None:
    options = read_slurm("partition=gpu, gpus=4,hours=1.5")
    assert options == SlurmOptions(partition="gpu", gpus=4, hours=1.5)
    assert (options.job_cpus, options.job_memory) == (32, 128)
    assert (read_slurm("gpus=0,cpus=3,memory=7").job_cpus, read_slurm("gpus=0").job_memory) == (3, 32)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gpu=4", "no key `gpu`; give some of jobs, gpus, cpus, memory, hours, partition, account, qos, constraint"),
        ("", "no key ``; give some of jobs, gpus"),
        ("gpus", "`gpus` has no value; give gpus=VALUE."),
        ("partition=", "`partition` has no value; give partition=VALUE."),
        ("gpus=1,gpus=2", "`gpus` is given twice; give it once."),
        ("gpus=-1", "gpus=-1; give a whole number from 0 to 64."),
        ("gpus=1.5", "gpus=1.5; give a whole number from 0 to 64."),
        ("jobs=0", "jobs=0; give a whole number from 1 to 1000."),
        ("memory=9999999999999999999999", "give a whole number from 1 to 8192."),
        ("hours=0.1", "hours=0.1; give hours from 0.2 to 720."),
        ("hours=nan", "hours=nan; give hours from 0.2 to 720."),
        ("hours=half", "hours=half; give hours from 0.2 to 720."),
        ("partition=a b", "partition=a b; give a name of letters, digits and . : & | * - _."),
        ("account=x\n#SBATCH --uid=0", "give a name of letters"),
        ("cluster=lsf", "cluster=lsf; give one of slurm, local."),
    ],
)
def test_a_mistake_is_named_with_what_is_allowed(text: str, says: str) -> None:
    with pytest.raises(UsageError, match="^--slurm: ") as caught:
        read_slurm(text)
    assert says in str(caught.value)
