"""What clients send."""

from functools import cache
from typing import Annotated, Any, Final, TypeVar, cast

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
)

from edge_api import pointers
from edge_api.problems import Problem, ProblemType
from orchestrator.saga import Saga
from orchestrator.sagas.orders import ITEMS_MAX, Item, PlaceOrder
from participants.contracts import personal_of, without_personal

METADATA_MAX: Final = 32
ERRORS_SHOWN_MAX: Final = 20

_ACTIVE_CODES: Final = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP
    CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF
    IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD
    MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB
    RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD
    UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
"""
CURRENCIES: Final = frozenset(_ACTIVE_CODES.split())
"""ISO 4217, list one (active codes), without funds, metals and test codes."""


def _known_currency(code: str) -> str:
    if code not in CURRENCIES:
        raise ValueError("must be an ISO 4217 code")
    return code


def _with_a_total(items: tuple[Item, ...]) -> tuple[Item, ...]:
    # The limits of lines, quantities and prices keep the total far below what the ledger's column holds.
    if not any(item.unit_price_minor for item in items):
        raise ValueError("must have a total above zero")
    return items


def _in_one_word(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Say once what a value may be, instead of once for each type that it is not."""
    try:
        return handler(value)
    except ValidationError:
        raise ValueError("must be a string of at most 256 characters, a 64-bit integer, true, false or null") from None


Model = TypeVar("Model", bound=BaseModel)
Input = TypeVar("Input", bound=BaseModel)
MetadataKey = Annotated[str, Field(min_length=1, max_length=64)]
MetadataValue = Annotated[
    Annotated[str, Field(max_length=256)] | Annotated[int, Field(ge=-(2**63), lt=2**63)] | bool | None,
    WrapValidator(_in_one_word),
]


class StartRequest(BaseModel):
    """What every request that starts a saga has beside the saga's input.

    Attributes:
        metadata: The client's own labels; orders can be listed by them. They are shown and kept as they are: nothing of a
            person belongs there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metadata: dict[MetadataKey, MetadataValue] = Field(default_factory=dict, max_length=METADATA_MAX)

    def canonical(self) -> bytes:
        """Return the request as JSON that is the same for every spelling of it.

        Of personal data it says only which there are: a hash over a name or an address can be guessed.
        """
        document = self.model_dump(mode="json")
        personal = personal_of(type(self), document)
        return orjson.dumps([without_personal(type(self), document), sorted(personal)], option=orjson.OPT_SORT_KEYS)


# What is asked of a new order, and not of one that the ledger has: lists of currencies change.
_Currency = Annotated[str, AfterValidator(_known_currency), Field(json_schema_extra={"enum": sorted(CURRENCIES)})]
_Items = Annotated[
    tuple[Item, ...],
    Field(
        min_length=1,
        max_length=ITEMS_MAX,
        json_schema_extra={"contains": {"type": "object", "properties": {"unit_price_minor": {"minimum": 1}}}},
    ),
    AfterValidator(_with_a_total),
]


class PlaceOrderRequest(PlaceOrder, StartRequest):
    """Body of `POST /orders`.

    Attributes:
        saga: Which saga places the order.
    """

    currency: _Currency
    items: _Items
    saga: str = Field(default="place_order", min_length=1, max_length=64)


def request_model(saga: Saga[Any]) -> type[StartRequest]:
    """Return the model of a request that starts a saga: the members of its input, and the client's labels."""
    model: type[BaseModel] = saga.input
    return _request_model(model)


@cache
def _request_model(input: type[BaseModel]) -> type[StartRequest]:
    fields: Any = {"currency": (_Currency, ...), "items": (_Items, ...)} if issubclass(input, PlaceOrder) else {}
    bases: Any = (input, StartRequest)
    return cast("type[StartRequest]", create_model(input.__name__, __base__=bases, __doc__=input.__doc__, **fields))


def input_of(request: StartRequest, input: type[Input]) -> Input:
    """Return the saga's input that a request holds.

    Args:
        request: What was validated.
        input: Model of the saga's input; the request need not be of a model that was made of it.

    Raises:
        Problem: The input lacks what this saga needs more than others; each error has a pointer to the member.
    """
    if isinstance(request, input):
        return input.model_construct(**{name: getattr(request, name) for name in input.model_fields})
    known = request.model_dump(mode="json", include=set(input.model_fields), exclude_unset=True)
    return validated(orjson.dumps(known), input)


def validated(body: bytes, model: type[Model]) -> Model:
    """Check a body.

    Args:
        body: What `strict_json.loads` has read without complaint.
        model: What it must fit.

    Raises:
        Problem: It is not valid; each error has a pointer to the member.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        errors = [(_pointer(item["loc"]), item["msg"].removeprefix("Value error, ")) for item in found]
        # An array whose every element is wrong is called too short as well, which is not what is wrong with it.
        inner = {pointer.rpartition("/")[0] for pointer, _ in errors}
        inner |= {pointer.rpartition("/")[0] for pointer in inner}
        shown = tuple(item for item in errors if item[0] not in inner)[:ERRORS_SHOWN_MAX]
        raise Problem(ProblemType.INVALID, "The body does not fit; see `errors`.", errors=shown) from None


def _pointer(location: tuple[int | str, ...]) -> str:
    # pydantic marks that a member's name is wrong, not its value, by one more part.
    return pointers.below(pointers.ROOT, *(location[:-1] if location[-1:] == ("[key]",) else location))
