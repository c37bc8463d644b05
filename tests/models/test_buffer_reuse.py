import copy
import pickle
import weakref

import pytest
import torch

from venation.models import buffer_reuse
from venation.models.buffer_reuse import BufferPool, pool_for

SHAPE = (3, 5)


@pytest.fixture(autouse=True)
def _every_tensor_is_large(monkeypatch):
    monkeypatch.setattr(buffer_reuse, "_MIN_BYTES", 1)


def _address(tensor):
    return tensor.untyped_storage().data_ptr()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_freed_tensors_memory_is_reused(dtype):
    kept = BufferPool()
    first = kept.take(SHAPE, dtype)
    assert first.shape == SHAPE and first.dtype == dtype and first.is_contiguous()
    # Vector instructions need the alignment that torch's own allocator guarantees.
    assert first.data_ptr() % 64 == 0
    place = _address(first)
    del first
    assert _address(kept.take(SHAPE, dtype)) == place


@pytest.mark.parametrize(
    "hold",
    [
        lambda tensor: tensor,
        lambda tensor: tensor[1:, 0],
        lambda tensor: tensor.detach(),
        lambda tensor: tensor.numpy(),
        lambda tensor: tensor.untyped_storage(),
    ],
    ids=["the tensor", "a view", "detached", "an array", "the storage"],
)
def test_memory_in_use_is_never_overwritten(hold):
    kept = BufferPool()
    tensor = kept.take(SHAPE, torch.float32)
    place, held = _address(tensor), hold(tensor)
    del tensor
    assert _address(kept.take(SHAPE, torch.float32)) != place
    del held
    assert place in free_addresses(kept)


def free_addresses(kept):
    """Return the addresses of tensors of this size that the pool can provide without new memory."""
    return {_address(kept.take(SHAPE, torch.float32))}


def test_at_most_two_blocks_of_a_size_are_kept():
    kept = BufferPool()
    first, second, third = (kept.take(SHAPE, torch.float32) for _ in range(3))
    places = [_address(tensor) for tensor in (first, second, third)]
    assert len(set(places)) == 3
    del first
    del second
    del third
    again = [kept.take(SHAPE, torch.float32) for _ in range(2)]
    assert {_address(tensor) for tensor in again} == set(places[1:])


def test_sizes_do_not_share_memory():
    kept = BufferPool()
    whole = kept.take(SHAPE, torch.float32)
    place = _address(whole)
    del whole
    assert _address(kept.take(SHAPE, torch.bfloat16)) != place
    assert free_addresses(kept) == {place}


def test_a_small_tensor_comes_from_torch(monkeypatch):
    monkeypatch.setattr(buffer_reuse, "_MIN_BYTES", 2**20)
    kept = BufferPool()
    tensor = kept.take(SHAPE, torch.float32)
    tensor.resize_(100)  # memory of a pool cannot be resized
    assert tensor.shape == (100,)


def test_at_most_the_last_two_sizes_are_kept(monkeypatch):
    made, empty = [], torch.empty
    monkeypatch.setattr(
        buffer_reuse.torch, "empty", lambda *args, **options: made.append(args) or empty(*args, **options)
    )
    kept = BufferPool()
    for rows in (1, 2, 3):
        kept.take((rows, 8), torch.float32)
    assert len(made) == 3
    for rows, new in ((3, 0), (2, 0), (1, 1)):
        made.clear()
        kept.take((rows, 8), torch.float32)
        assert len(made) == new


def test_each_weight_and_each_copy_has_its_own_pool():
    layer = torch.nn.Linear(5, 3)
    kept = pool_for(layer.weight)
    first = kept.take(SHAPE, torch.float32)
    place = _address(first)
    del first
    assert pool_for(layer.weight) is kept and place in free_addresses(pool_for(layer.weight))
    others = (copy.deepcopy(layer).weight, layer.weight[:], torch.nn.Linear(5, 3).weight)
    assert all(_address(pool_for(other).take(SHAPE, torch.float32)) != place for other in others)
    # Copying and saving must not copy the pool.
    assert copy.deepcopy(kept)._free == {} and pickle.loads(pickle.dumps(kept))._free == {}


def test_a_pool_is_freed_with_its_weight():
    weight = torch.nn.Parameter(torch.zeros(SHAPE))
    gone = weakref.ref(pool_for(weight))
    pool_for(weight).take(SHAPE, torch.float32)
    del weight
    assert gone() is None


def test_a_tensor_stays_valid_after_its_pool_is_freed():
    kept = BufferPool()
    tensor = kept.take(SHAPE, torch.float32).fill_(2.5)
    del kept
    assert torch.equal(tensor, torch.full(SHAPE, 2.5))
