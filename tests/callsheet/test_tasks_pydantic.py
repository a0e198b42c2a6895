import msgspec
import pytest

from callsheet import Out, run_sync, task
from callsheet.errors import Invalid

pydantic = pytest.importorskip("pydantic")


class Order(pydantic.BaseModel, extra="forbid"):  # type: ignore[misc, name-defined]
    amount: int = pydantic.Field(ge=0)
    tags: list[str] = []  # noqa: RUF012
    choice: int | list[str] = 1


class Bill(pydantic.BaseModel):  # type: ignore[misc, name-defined]
    total: float
    tax: float | None = None


@task
async def pay(_in: Order, out: Out[Bill]) -> None:
    await out.send(Bill(total=_in.amount))


def test_models_go_in_and_out():
    assert run_sync(pay, Order(amount=2)).outputs == [Bill(total=2)]
    assert run_sync(pay, {"amount": 3}).outputs == [Bill(total=3)]
    assert msgspec.json.decode(pay.check_input({"amount": 1})) == {
        "amount": 1,
        "tags": [],
        "choice": 1,
    }


def test_all_wrong_fields_of_a_model_are_told_at_once():
    with pytest.raises(Invalid) as caught:
        pay.check_input({"tags": [1], "choice": ["a", 5], "more": 1})
    told = {error.pointer: error.detail for error in caught.value.errors}
    assert told["/amount"] == "is required"
    assert told["/more"] == "is not a known field"
    assert told["/tags/0"] == "must be a valid string"
    assert told["/choice/1"] == "must be a valid string"


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"\xff"', b'{"amount": "x"}'])
def test_a_stored_input_that_a_model_cannot_read_is_invalid(raw):
    with pytest.raises(Invalid):
        pay.decode_input(raw)


@pytest.mark.parametrize("document", [{"amount": float("nan")}, {"amount": "\ud800"}, {"amount": 2.5e300}])
def test_a_document_that_is_not_json_is_refused(document):
    with pytest.raises(Invalid):
        pay.check_input(document)


def test_an_output_that_is_not_the_model_is_refused():
    for wrong in ("x", object(), Bill(total=float("nan")), Bill.model_construct(total="x")):
        with pytest.raises(TypeError, match=r"which does not fit Out\[Bill\]"):
            pay.encode_output(wrong)
    with pytest.raises(TypeError, match="NaN"):
        pay.encode_output(Bill(total=1, tax=float("inf")))


def test_a_model_inside_a_list_is_a_model_too():
    @task
    async def pay_all(_in: list[Order], out: Out[Bill | None]) -> None:
        await out.send(None)

    assert run_sync(pay_all, [Order(amount=1)]).outputs == [None]
    with pytest.raises(Invalid, match="/0/amount: is required"):
        pay_all.check_input([{}])
