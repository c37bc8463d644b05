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


def _place(tensor):
    return tensor.untyped_storage().data_ptr()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_memory_is_taken_again_when_its_tensor_is_gone(dtype):
    kept = BufferPool()
    first = kept.take(SHAPE, dtype)
    assert first.shape == SHAPE and first.dtype == dtype and first.is_contiguous()
    # Vector instructions want what torch's own allocator promises.
    assert first.data_ptr() % 64 == 0
    place = _place(first)
    del first
    assert _place(kept.take(SHAPE, dtype)) == place


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
def test_what_somebody_holds_is_never_written_over(hold):
    kept = BufferPool()
    tensor = kept.take(SHAPE, torch.float32)
    place, held = _place(tensor), hold(tensor)
    del tensor
    assert _place(kept.take(SHAPE, torch.float32)) != place
    del held
    assert place in kept_places(kept)


def kept_places(kept):
    """Where the tensors of this size are that can be had without new memory."""
    return {_place(kept.take(SHAPE, torch.float32))}


def test_of_many_at_once_two_are_kept():
    kept = BufferPool()
    first, second, third = (kept.take(SHAPE, torch.float32) for _ in range(3))
    places = [_place(tensor) for tensor in (first, second, third)]
    assert len(set(places)) == 3
    del first
    del second
    del third
    again = [kept.take(SHAPE, torch.float32) for _ in range(2)]
    assert {_place(tensor) for tensor in again} == set(places[1:])


def test_other_sizes_have_other_memory():
    kept = BufferPool()
    whole = kept.take(SHAPE, torch.float32)
    place = _place(whole)
    del whole
    assert _place(kept.take(SHAPE, torch.bfloat16)) != place
    assert kept_places(kept) == {place}


def test_a_small_tensor_is_torchs_own(monkeypatch):
    monkeypatch.setattr(buffer_reuse, "_MIN_BYTES", 2**20)
    kept = BufferPool()
    tensor = kept.take(SHAPE, torch.float32)
    tensor.resize_(100)  # memory that belongs to somebody else cannot grow
    assert tensor.shape == (100,)


def test_no_more_than_the_last_two_sizes_are_kept(monkeypatch):
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


def test_weights_have_one_memory_each_and_their_copies_another():
    layer = torch.nn.Linear(5, 3)
    kept = pool_for(layer.weight)
    first = kept.take(SHAPE, torch.float32)
    place = _place(first)
    del first
    assert pool_for(layer.weight) is kept and place in kept_places(pool_for(layer.weight))
    others = (copy.deepcopy(layer).weight, layer.weight[:], torch.nn.Linear(5, 3).weight)
    assert all(_place(pool_for(other).take(SHAPE, torch.float32)) != place for other in others)
    # Neither weights nor memory grow by it when they are copied or written.
    assert copy.deepcopy(kept)._free == {} and pickle.loads(pickle.dumps(kept))._free == {}


def test_memory_goes_with_its_weights():
    weight = torch.nn.Parameter(torch.zeros(SHAPE))
    gone = weakref.ref(pool_for(weight))
    pool_for(weight).take(SHAPE, torch.float32)
    del weight
    assert gone() is None


def test_a_tensor_outlives_the_memory_that_it_came_from():
    kept = BufferPool()
    tensor = kept.take(SHAPE, torch.float32).fill_(2.5)
    del kept
    assert torch.equal(tensor, torch.full(SHAPE, 2.5))
