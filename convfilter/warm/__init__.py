"""A process that has PyTorch loaded, and forks for each call of the program: what a shell loop needs to be quick.

It knows sockets, descriptors, signals and processes, and nothing of pictures: what a call does is given to it.
``protocol`` is what both sides agree upon, ``client`` what a call does first, ``server`` the process itself, and
``worker`` what becomes of a process that it forks. Nothing but the standard library is imported, and by ``protocol``
and ``client`` hardly any of it: each module that they load is time that every call takes.
"""
