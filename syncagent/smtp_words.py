"""What SMTP's answers and failures mean to a person: one sentence, and what can be done about it."""

import smtplib
import socket
import ssl


def connection_trouble(error: Exception) -> tuple[str, str]:
    """Why no session came about, and the mend."""
    if isinstance(error, ssl.SSLCertVerificationError):
        what = f"its certificate is not trusted ({error.verify_message.rstrip('.')}), so nothing was sent"
        return what, "Use the host name the certificate was made for, or set ca_file in [mail] to its CA."
    if isinstance(error, ssl.SSLError):
        return "does not speak TLS as asked", 'Port 465 wants security = "tls", port 587 "starttls".'
    if isinstance(error, socket.gaierror):
        return "the host name cannot be found", "Check host in [mail]."
    if isinstance(error, ConnectionRefusedError):
        return "no mail server answers there", "Check host and port in [mail], and that the server is up."
    if isinstance(error, smtplib.SMTPConnectError):
        return f"the server is not ready ({reply(error.smtp_code, error.smtp_error)})", "It is tried again."
    return broken(error), "Check host, port and security in [mail], and that the server is up."


def broken(error: Exception) -> str:
    if isinstance(error, TimeoutError) or "timed out" in str(error):
        return "the server did not answer in time"
    if isinstance(error, smtplib.SMTPServerDisconnected):
        if str(error)[:3].isdigit():
            return f"the server closed the connection ({error})"
        return "the server closed the connection"
    return f"the connection broke ({type(error).__name__})"


def mend(code: int, text: bytes, outcome: str) -> str:
    """What a person can do about a refusal that names its cause."""
    said = text.decode("ascii", "replace")
    if "5.7.30" in said or "5.7.139" in said:
        return "Login by password is switched off there: have SMTP AUTH enabled for the mailbox, or use a relay."
    if code == 535 and "5.7.3" in said:
        return "Check username and password in [mail]; an app needs the object id of its Enterprise application."
    if code in (530, 534, 535, 538):
        return "Check username and password in [mail]."
    return "It is tried again." if outcome == "transient" else ""


def reply(code: int, text: bytes | str) -> str:
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return " ".join("".join(c if c.isprintable() else " " for c in f"{code} {said}").split())[:200]
