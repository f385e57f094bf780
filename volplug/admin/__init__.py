"""What the person at the terminal gets: the operator calls beside Docker's own, and the doctor.

Docker's eight calls have no word for a lease or for its forced release (docker-contract rule 30),
so `POST /Volplug.*` stands beside them on the same unix socket, and who may open that may ask.
`client` speaks, `blueprint` answers, and only the latter loads Flask.
"""
