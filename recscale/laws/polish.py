"""Local optimum of the robust objective from many starts at once.

Objective: sum_i w_i Huber_delta(log f(x_i) - log y_i), the sum and not the mean (a mean this
small makes gradient tests stop early). Damped generalised Newton: the Hessian counts the points
inside the quadratic zone and the curvature of f itself, so the last steps converge
quadratically even when delta is far below the noise.
"""

import numpy as np

from recscale.laws.forms import Form

TINY = 1e-300
BELOW_ZERO = 18.0  # logs below what was measured at which a value of 0 or less is held


def huber(r: np.ndarray, delta: float) -> np.ndarray:
    """r^2 / 2 within delta, delta (|r| - delta / 2) beyond (Huber 1964); delta may be inf."""
    a = np.abs(r)
    if np.isinf(delta):
        return 0.5 * r * r
    c = np.minimum(a, delta)
    return c * (a - 0.5 * c)


def residuals(form: Form, theta: np.ndarray, logx: np.ndarray, logy: np.ndarray):
    """Log residuals (b, n) and derivatives of log f (b, k, n)."""
    f, jac = form.evaluate(theta, logx)
    f = positive(form, f, logy)
    jac /= f[:, None, :]
    return np.log(f) - logy, jac, f


def positive(form: Form, f: np.ndarray, logy: np.ndarray) -> np.ndarray:
    """f, with the negative values a falling-off metric form can take held far below the data."""
    return np.maximum(f, np.exp(logy - BELOW_ZERO) if form.sign < 0 else TINY)


def objective(form: Form, theta, logx, logy, weights, delta) -> np.ndarray:
    """The objective (b,) of parameter rows theta (b, k)."""
    f, _ = form.evaluate(theta, logx)
    return (weights * huber(np.log(positive(form, f, logy)) - logy, delta)).sum(-1)


def gradient(form: Form, theta, logx, logy, weights, delta) -> np.ndarray:
    """Derivatives (b, k) of the objective."""
    r, jac, _ = residuals(form, theta, logx, logy)
    return np.einsum("bkn,bn->bk", jac, weights * np.clip(r, -delta, delta))


def _slopes(form, theta, logx, r, jac, weights, delta):
    """Gradient (b, k), Hessian (b, k, k) and a positive diagonal to damp with (b, k)."""
    wpsi = weights * np.clip(r, -delta, delta)
    g = np.matmul(jac, wpsi[:, :, None])[:, :, 0]
    h = np.matmul(jac * (weights * (np.abs(r) <= delta) - wpsi)[:, None, :], jac.transpose(0, 2, 1))
    h += form.curvature(theta, logx, wpsi, jac)
    # Damped along the weights of iteratively reweighted least squares, which are positive
    # wherever the points lie; the Hessian's own diagonal need not be.
    soft = weights * np.minimum(1.0, delta / np.maximum(np.abs(r), TINY))
    d = np.matmul(jac * jac, soft[:, :, None])[:, :, 0]
    return g, h, np.maximum(d, 1e-12 * d.max(1, keepdims=True) + TINY)


def polish(
    form: Form,
    theta: np.ndarray,
    logx: np.ndarray,
    logy: np.ndarray,
    weights: np.ndarray,
    delta: float,
    *,
    tol: float = 1e-14,
    iterations: int = 200,
) -> tuple[np.ndarray, np.ndarray]:
    """Local minima reached from each row of theta.

    Args:
        theta: (b, k) starts, clipped into the form's bounds.
        logx: (n, p).
        logy, weights: (n,) or, one row per start, (b, n).
        delta: Huber's threshold in log loss; inf for least squares.
        tol: stop a row once a Newton step promises less than tol times its objective.

    Returns:
        theta (b, k) and objective (b,).
    """
    with np.errstate(over="ignore", invalid="ignore"):  # trial steps too far are rejected
        return _descend(form, theta, logx, logy, weights, delta, tol, iterations)


def follow(form: Form, theta, logx, logy, weights, delta, threshold, tol, iterations) -> np.ndarray:
    """theta (b, k) followed down from a threshold above the noise to near delta.

    Under a wide threshold the objective is smooth and has few valleys. Arguments as of `polish`.
    """
    while threshold > 2.0 * delta:
        theta, _ = polish(
            form, theta, logx, logy, weights, threshold, tol=tol, iterations=iterations
        )
        threshold /= 3.0
    return theta


def _descend(form: Form, theta, logx, logy, weights, delta: float, tol: float, iterations: int):
    theta = np.clip(theta, form.lower, form.upper)
    weights = np.broadcast_to(weights, (len(theta), len(logx)))
    logy = np.broadcast_to(logy, weights.shape)
    live = np.arange(len(theta))
    out, value = theta.copy(), np.empty(len(theta))
    w, lam = weights, np.full(len(theta), 1e-3)
    r, jac, _ = residuals(form, theta, logx, logy)
    obj = (w * huber(r, delta)).sum(1)
    value[:] = obj
    g, h, d = _slopes(form, theta, logx, r, jac, w, delta)
    k = theta.shape[1]
    eye = np.arange(k)
    for _ in range(iterations):
        if not len(live):
            break
        held = ((theta <= form.lower) & (g > 0)) | ((theta >= form.upper) & (g < 0))
        scale = 1.0 / np.sqrt(d)
        m = h * scale[:, :, None] * scale[:, None, :]
        m[:, eye, eye] += lam[:, None]
        free = ~held
        m *= free[:, :, None] & free[:, None, :]
        m[:, eye, eye] += held
        step = _solve(m, -(g * scale) * free) * scale
        trial = np.clip(theta + step, form.lower, form.upper)
        promised = -(g * (trial - theta)).sum(1)
        r2, jac2, _ = residuals(form, trial, logx, logy)
        obj2 = (w * huber(r2, delta)).sum(1)
        better = obj2 < obj
        small = np.abs(promised) <= tol * (obj + TINY)
        done = (small & (better | (lam <= 1.0))) | (lam > 1e14) | (obj <= 1e-30)
        np.copyto(lam, np.where(better & (promised > 0), lam * 0.15, lam * 6.0))
        np.maximum(lam, 1e-12, out=lam)
        if better.any():
            rows = np.flatnonzero(better)
            theta[rows], obj[rows] = trial[rows], obj2[rows]
            if len(rows) == len(live):
                g, h, d = _slopes(form, trial, logx, r2, jac2, w, delta)
            else:
                g[rows], h[rows], d[rows] = _slopes(
                    form, trial[rows], logx, r2[rows], jac2[rows], w[rows], delta
                )
        if done.any():
            out[live[done]], value[live[done]] = theta[done], obj[done]
            stay = ~done
            live, theta, obj, lam = live[stay], theta[stay], obj[stay], lam[stay]
            w, logy = w[stay], logy[stay]
            g, h, d = g[stay], h[stay], d[stay]
    out[live], value[live] = theta, obj
    return out, value


def _solve(m: np.ndarray, b: np.ndarray) -> np.ndarray:
    """m x = b for each matrix; a row whose matrix is not positive gets the damped gradient."""
    try:
        x = np.linalg.solve(m, b[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError:
        eye = np.arange(m.shape[1])
        m = m.copy()
        m[:, eye, eye] += 1e-8
        x = np.stack([np.linalg.lstsq(a, v, rcond=None)[0] for a, v in zip(m, b, strict=True)])
    uphill = ~((x * b).sum(1) > 0)  # also catches NaN
    x[uphill] = b[uphill]
    return x
