"""Where the library leans on inner workings of JAX: one test each, so that an update that breaks it says so here."""

import jax
import jax.numpy as jnp
import numpy as np

from metaplax.estimators.dependence import has_derivative, used_inputs
from metaplax.estimators.reversible_loop import Residuals
from metaplax.learners.energy.smooth_roots import CALLS, ROOTS, with_smooth_roots


def test_dead_code_elimination_sees_through_loops():
    """``jax.interpreters.partial_eval.dce_jaxpr``, used in estimators/dependence.py."""

    def function(used, unused, steps):
        return jax.lax.scan(lambda carry, x: (carry * x, 0 * unused), used, steps)[0]

    program = jax.make_jaxpr(function)(1.0, 2.0, jnp.ones(3)).jaxpr
    assert used_inputs(program) == [True, False, True]


def test_derivatives_that_are_zero_by_construction_are_told():
    """Tangents that JAX knows to be zero leave no trace in the program of a derivative."""
    blocked = lambda a: jax.lax.stop_gradient(a) + jnp.floor(a)  # noqa: E731
    assert not has_derivative(blocked, jnp.ones(2))
    assert not has_derivative(lambda a, b: b, jnp.ones(2), jnp.ones(2))
    assert has_derivative(lambda a, b: jax.lax.scan(lambda c, x: (c * x, None), a, b)[0], jnp.ones(()), jnp.ones(2))


def test_a_traced_array_is_one_object_within_one_trace():
    """``Residuals`` recognises arrays that need not be stored by their identity, within a scan and a vjp."""
    stored = []

    def body(carry, x):
        value, pull = jax.vjp(lambda carry: carry * x, carry)
        stored.append(len(Residuals(pull, (carry, x)).kept))
        return value, None

    jax.lax.scan(body, jnp.ones(3), jnp.ones((2, 3)))
    assert set(stored) == {0}


def test_programs_that_call_others_hold_them_under_known_names():
    """``smooth_roots`` looks into calls for roots: under the names of primitives and parameters in ``CALLS``."""
    nested = jax.jit(lambda x: jnp.sqrt(jnp.where(x > 0, x, 0.0)))
    program = jax.make_jaxpr(nested)(jnp.ones(2))
    (call,) = program.jaxpr.eqns
    assert call.primitive.name in CALLS
    assert CALLS[call.primitive.name] in call.params
    custom = jax.make_jaxpr(lambda x: jax.nn.relu(x))(jnp.ones(2)).jaxpr
    names = {equation.primitive.name for equation in custom.eqns}
    assert names & CALLS.keys()
    assert {jax.make_jaxpr(f)(1.0).jaxpr.eqns[0].primitive.name for f in (jax.lax.sqrt, jax.lax.rsqrt)} == set(ROOTS)
    slope = jax.grad(lambda x: jnp.sum(with_smooth_roots(nested)(x)))(jnp.array([0.0, 4.0]))
    np.testing.assert_allclose(slope, [0.0, 0.25])
